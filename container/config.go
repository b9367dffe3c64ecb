package container

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cgroups"
	"dhow/internal/rootfs"
)

// Config of an Engine.
type Config struct {
	// StateDir holds what must survive a daemon but not a reboot (/run/dhow/containers): one folder per
	// sandbox with its shim's socket and the records of its containers. Mode 0700.
	StateDir string
	// CgroupParent is the group under which all sandboxes' groups are made, "/dhow" by default; the sandbox
	// config's linux.cgroup_parent is taken relative to it.
	CgroupParent string
	// Images gives containers their root.
	Images Images
	// Network connects sandboxes that have a network namespace of their own. Nil: loopback only.
	Network Network
	// Program is the binary that plays the shim's part; it imports shimentry. If empty it is the one built in
	// (shimbinary), or this program.
	Program string
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

func (c *Config) setDefaults() {
	if c.CgroupParent == "" {
		c.CgroupParent = "/dhow"
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
}

// RemoveEmptyGroups removes Config's CgroupParent and the groups that it was made in, if nothing is in them. An engine does
// so when its Run ends; where none Runs it is for whoever removes containers: to make them anew for each takes a millisecond.
func RemoveEmptyGroups(parent string) { cgroups.Group(parent).RemoveEmpty("/") }

// parent is the group in which all others are.
func (e *Engine) parent() cgroups.Group { return cgroups.Group(e.config.CgroupParent) }

// Images is what the engine needs of an image store.
type Images interface {
	// Snapshot makes a writable root named key over image (an id or a local reference), or finds the one
	// that a call with the same key made before.
	Snapshot(ctx context.Context, key, image string) (*rootfs.Snapshot, error)
	// RemoveSnapshot deletes the writable layer; an unknown key is no error.
	RemoveSnapshot(ctx context.Context, key string) error
}

// Network is what the engine needs of a pod network.
type Network interface {
	// Attach gives the network namespace at path netns (/proc/PID/ns/net) its links, addresses, routes and
	// host ports (config.PortMappings) and returns its addresses, primary first.
	Attach(ctx context.Context, sandboxID, netns string, config *cri.PodSandboxConfig) ([]netip.Addr, error)
	// Detach gives all of it back; an unknown id is no error. The namespace may be gone already.
	Detach(ctx context.Context, sandboxID string) error
}

// ErrNotFound is matched by errors about a sandbox or container that does not exist.
var ErrNotFound = errors.New("not found")
