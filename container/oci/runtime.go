// Package oci is an OCI runtime (runtime-spec 1.3): containers from bundles, each a folder below a root directory with
// its state.json, without a daemon. Whoever calls Create is the parent of the container's first process, and who inherits
// that process (conmon, containerd's shim) learns how it ends. It is the library of `dhow oci`; it knows no images, no
// networks and no logs.
package oci

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/cgroups/systemd"
)

// What callers branch on; the words are those that callers of runc look for.
var (
	ErrNotExist   = errors.New("container does not exist")
	ErrExist      = errors.New("container with given ID already exists")
	ErrNotRunning = errors.New("container not running")
)

// DefaultRoot is where states are kept; it is gone after a restart of the machine, as containers are.
const DefaultRoot = "/run/dhow/oci"

// Config says where and how.
type Config struct {
	// Root is the directory of states; empty: DefaultRoot.
	Root string
	// SystemdCgroup has systemd make the control groups.
	SystemdCgroup bool
	// Program is the file to execute as init; empty: the one that is built in, or this one.
	Program string
	// Log is told what is left out and what fails without consequence; nil: nobody is.
	Log *slog.Logger
}

// Runtime runs containers.
type Runtime struct{ config Config }

// New makes a runtime. It makes its root directory when it creates the first container.
func New(c Config) (*Runtime, error) {
	if c.Root == "" {
		c.Root = DefaultRoot
	}
	root, err := filepath.Abs(c.Root)
	if err != nil {
		return nil, err
	}
	c.Root = root
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.SystemdCgroup && !systemd.IsRunningSystemd() {
		return nil, errors.New("systemd cgroup flag passed, but systemd support for managing cgroups is not available: systemd does not run on this machine; leave --systemd-cgroup out")
	}
	return &Runtime{c}, nil
}

// programDir is beside the states, under a name that no container can have.
const programDir = "@program"

func checkID(id string) error {
	if id == "" {
		return errors.New("container id cannot be empty")
	}
	if strings.ContainsFunc(id, foreign) || id == "." || id == ".." || len(id) > 1024 {
		return fmt.Errorf("invalid container ID format: %q: want letters, digits, _ + - .", id)
	}
	return nil
}

// foreign says whether a name may not have a character.
func foreign(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("_+-.", c))
}

func (r *Runtime) dir(id string) string { return filepath.Join(r.config.Root, id) }

// List is all containers, by name; folders without a state are being made or removed.
func (r *Runtime) List() ([]*Container, error) {
	entries, err := os.ReadDir(r.config.Root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []*Container
	for _, e := range entries {
		if e.Name() == programDir {
			continue
		}
		c, err := r.Container(e.Name())
		if errors.Is(err, ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}
