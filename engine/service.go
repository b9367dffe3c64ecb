package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/image"
	"dhow/internal/rootfs"
)

// Config of a Service.
type Config struct {
	// Dir holds what lasts: records, logs, volumes, networks (/var/lib/dhow/engine).
	Dir string
	// StateDir holds what does not outlive a reboot: shims and addresses (/run/dhow/engine). It is not the node
	// agent's: an agent removes sandboxes that it does not know.
	StateDir string
	// CgroupParent is the group of all these containers.
	CgroupParent string
	// LinkName begins the names of links and tables; six characters at most.
	LinkName string
	Images   *image.Store
	// Program begins a command line of this program; "container health ID" follows, to check a container's health, or
	// "container cleanup ID", to take its end down. The first element is the name it is called by; what runs is this program.
	Program []string
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// Service is all that can be done with containers that belong to no cluster. Any number of processes may have one open
// on the same folders.
type Service struct {
	config Config
	log    *slog.Logger
}

// New checks the configuration; it starts nothing and makes nothing.
func New(c Config) (*Service, error) {
	if c.Dir == "" || c.StateDir == "" || c.Images == nil {
		return nil, errors.New("engine: Dir, StateDir and Images must be set")
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Service{config: c, log: c.Log}, nil
}

// runtime opens the container engine anew: other processes make and remove containers.
func (s *Service) runtime() (*container.Engine, error) {
	if err := os.MkdirAll(s.config.StateDir, 0o700); err != nil {
		return nil, err
	}
	return container.New(container.Config{
		StateDir: filepath.Join(s.config.StateDir, "containers"), CgroupParent: s.config.CgroupParent,
		Images: snapshots{s.config.Images}, Network: s.network(), Log: s.log,
	})
}

// snapshots gives each run of a container the writable layer of its record, and leaves it when the run is removed. It
// says nothing of the image's configuration: the record has taken it up.
type snapshots struct{ store *image.Store }

func (s snapshots) Snapshot(ctx context.Context, _, ref string) (*rootfs.Snapshot, error) {
	key, imageID, _ := strings.Cut(ref, "@")
	snapshot, err := s.store.Snapshot(ctx, key, imageID)
	if err != nil {
		return nil, err
	}
	bare := *snapshot
	bare.Config.Entrypoint, bare.Config.Cmd, bare.Config.Env = nil, nil, nil
	bare.Config.WorkingDir, bare.Config.User, bare.Config.StopSignal = "", "", ""
	return &bare, nil
}

func (snapshots) RemoveSnapshot(context.Context, string) error { return nil }

// Find resolves what a user calls a container: its name, its id, or the beginning of an id that is only one's.
func (s *Service) Find(ref string) (*Container, error) {
	list, err := s.all()
	if err != nil {
		return nil, err
	}
	name := strings.TrimPrefix(ref, "/")
	for _, c := range list {
		if c.Name == name || c.ID == ref {
			return c, nil
		}
	}
	var found []*Container
	for _, c := range list {
		if ref != "" && strings.HasPrefix(c.ID, ref) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, &NotFoundError{Kind: "container", Name: ref}
	default:
		return nil, fmt.Errorf("%d containers have an id that begins with %s", len(found), ref)
	}
}

// List is every container, the newest first, as it now is.
func (s *Service) List(ctx context.Context) ([]*Container, error) {
	list, err := s.all()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b *Container) int { return b.Created.Compare(a.Created) })
	runtime, err := s.runtime()
	if err != nil {
		return nil, err
	}
	var now []*Container
	for _, c := range list {
		settled, err := s.settle(ctx, runtime, c)
		var gone *NotFoundError
		if errors.As(err, &gone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		now = append(now, settled)
	}
	return now, nil
}

// Get is Find with the container as it now is.
func (s *Service) Get(ctx context.Context, ref string) (*Container, error) {
	c, err := s.Find(ref)
	if err != nil {
		return nil, err
	}
	runtime, err := s.runtime()
	if err != nil {
		return nil, err
	}
	c, err = s.settle(ctx, runtime, c)
	var gone *NotFoundError
	if errors.As(err, &gone) {
		gone.Name = ref
	}
	return c, err
}

// running is Get for what can be done to containers that run only.
func (s *Service) running(ctx context.Context, ref string) (*Container, *container.Engine, error) {
	c, err := s.Get(ctx, ref)
	if err != nil {
		return nil, nil, err
	}
	if !c.Alive() {
		return nil, nil, conflict("container %s is not running", c.ID)
	}
	runtime, err := s.runtime()
	return c, runtime, err
}

func newID() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// runtimeStatus is nil for a container of which the engine knows nothing any more.
func runtimeStatus(ctx context.Context, runtime *container.Engine, c *Container) (*cri.ContainerStatus, error) {
	if c.State.Runtime == "" {
		return nil, nil
	}
	status, err := runtime.ContainerStatus(ctx, c.State.Runtime)
	if errors.Is(err, container.ErrNotFound) {
		return nil, nil
	}
	return status, err
}
