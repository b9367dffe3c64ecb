package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"dhow/engine/health"
	"dhow/internal/atomicfile"
	"dhow/internal/filelock"
)

// Container is the record of one container.
type Container struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	ImageID string    `json:"imageID"`
	Spec    Spec      `json:"spec"`
	// What the image and the user say together.
	Run Resolved `json:"run"`
	// Mounts are all of its mounts but those in memory.
	Mounts []MountPoint `json:"mounts,omitempty"`
	State  State        `json:"state"`
}

// Resolved is how a container runs.
type Resolved struct {
	Entrypoint []string          `json:"entrypoint,omitempty"`
	Command    []string          `json:"command,omitempty"`
	Env        []string          `json:"env,omitempty"`
	WorkingDir string            `json:"workingDir,omitempty"`
	User       string            `json:"user,omitempty"`
	StopSignal string            `json:"stopSignal,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	Exposed    []Port            `json:"exposed,omitempty"`
	Volumes    []string          `json:"volumes,omitempty"`
	Health     *health.Check     `json:"health,omitempty"`
}

// Args is the whole command line.
func (r Resolved) Args() []string { return append(append([]string{}, r.Entrypoint...), r.Command...) }

// MountPoint is a mount as it was made.
type MountPoint struct {
	Mount
	// Path is the source on the host.
	Path string `json:"path"`
	// Anonymous volumes go with their container.
	Anonymous bool `json:"anonymous,omitempty"`
}

// The states of a container, in docker's words.
const (
	Created    = "created"
	Running    = "running"
	Paused     = "paused"
	Restarting = "restarting"
	Exited     = "exited"
)

// State is what has become of a container.
type State struct {
	Status string `json:"status"`
	// Sandbox and Runtime are the container engine's ids, empty when nothing runs.
	Sandbox string `json:"sandbox,omitempty"`
	Runtime string `json:"runtime,omitempty"`

	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	ExitCode int       `json:"exitCode"`
	OOM      bool      `json:"oom,omitempty"`
	Error    string    `json:"error,omitempty"`
	Paused   bool      `json:"paused,omitempty"`
	// Stopped: the user wants it to be so; an unless-stopped container is not started again after a reboot.
	Stopped bool `json:"stopped,omitempty"`
	// Restarts by its policy, since it was started.
	Restarts int `json:"restarts,omitempty"`

	Networks []Attachment `json:"networks,omitempty"`
	Ports    []Port       `json:"ports,omitempty"` // as published
}

// Attachment is a container in a network.
type Attachment struct {
	Network string       `json:"network"`
	ID      string       `json:"id"`
	IP      netip.Prefix `json:"ip,omitzero"`
	Gateway netip.Addr   `json:"gateway,omitzero"`
	// The same for IPv6, where the network has it.
	IP6      netip.Prefix `json:"ip6,omitzero"`
	Gateway6 netip.Addr   `json:"gateway6,omitzero"`
	MAC      string       `json:"mac,omitempty"`
	Aliases  []string     `json:"aliases,omitempty"`
}

// Alive says whether it has processes, or will have again without anybody's doing.
func (c *Container) Alive() bool {
	return c.State.Status == Running || c.State.Status == Paused || c.State.Status == Restarting
}

const (
	configFile = "config.json"
	lockFile   = "lock"
	logFile    = "container.log"
)

func (s *Service) dir(id string) string { return filepath.Join(s.config.Dir, "containers", id) }

// LogPath is where a container's output is kept.
func (s *Service) LogPath(id string) string { return filepath.Join(s.dir(id), logFile) }

func (s *Service) save(c *Container) error {
	data, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(s.dir(c.ID), configFile), data)
}

func (s *Service) load(id string) (*Container, error) {
	path := filepath.Join(s.dir(id), configFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NotFoundError{Kind: "container", Name: id}
	}
	if err != nil {
		return nil, err
	}
	c := &Container{}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// forget removes a container's folder, the record first: a folder without one is nobody's. Somebody who has just looked for
// the container may be making its lock file anew.
func (s *Service) forget(id string) error {
	err := os.Remove(filepath.Join(s.dir(id), configFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for range 10 {
		if err = os.RemoveAll(s.dir(id)); !errors.Is(err, syscall.ENOTEMPTY) {
			return err
		}
	}
	return err
}

// all reads every record. One that cannot be read is told of and left out.
func (s *Service) all() ([]*Container, error) {
	entries, err := os.ReadDir(filepath.Join(s.config.Dir, "containers"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []*Container
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		c, err := s.load(e.Name())
		var gone *NotFoundError
		if errors.As(err, &gone) {
			continue // it is being made, or removed
		}
		if err != nil {
			s.log.Error("record cannot be read", "container", e.Name(), "err", err)
			continue
		}
		list = append(list, c)
	}
	return list, nil
}

// lockContainer takes a container's lock and reads its record.
func (s *Service) lockContainer(id string) (*Container, func(), error) {
	unlock, err := filelock.Lock(filepath.Join(s.dir(id), lockFile), filelock.Exclusive)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, &NotFoundError{Kind: "container", Name: id}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("lock container %s: %w", id, err)
	}
	c, err := s.load(id)
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return c, unlock, nil
}

// held finds a container, and keeps others from it until it is unlocked. Its record says of one that runs how it was when it
// was written; Get knows how it is.
func (s *Service) held(ctx context.Context, ref string) (*Container, func(), error) {
	found, err := s.Get(ctx, ref)
	if err != nil {
		return nil, nil, err
	}
	return s.lockContainer(found.ID)
}

// lockNames keeps names of containers from being given twice.
func (s *Service) lockNames() (func(), error) {
	dir := filepath.Join(s.config.Dir, "containers")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return filelock.Lock(filepath.Join(dir, ".names"), filelock.Exclusive)
}
