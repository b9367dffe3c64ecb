package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dhow/container/oci/bundle"
	"dhow/container/oci/inside"
	"dhow/container/processes"
)

const (
	stateFile = "state.json"
	startFIFO = "exec.fifo"   // start writes to it, and a container that has it is not started
	endFIFO   = "report.fifo" // init says there why it could not become its command
)

// record is state.json.
type record struct {
	Version string    `json:"ociVersion"`
	ID      string    `json:"id"`
	Pid     int       `json:"init_process_pid"`
	Start   uint64    `json:"init_process_start"` // in clock ticks since the machine's start
	Created time.Time `json:"created"`
	Bundle  string    `json:"bundle"`
	Rootfs  string    `json:"rootfs"`
	// Ready: create has succeeded.
	Ready       bool              `json:"ready"`
	CgroupPaths map[string]string `json:"cgroup_paths"`
	Systemd     bool              `json:"systemd,omitempty"`
	Config      json.RawMessage   `json:"spec"` // config.json as it was
	// Hooks are those of the machine, by their OCI names.
	Hooks map[string][]inside.Hook `json:"hooks,omitempty"`
}

// Container is one that has been created.
type Container struct {
	record
	Spec *specs.Spec // what Config says
	dir  string
	log  *slog.Logger
}

// Container finds one by its name.
func (r *Runtime) Container(id string) (*Container, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	c := &Container{dir: r.dir(id), log: r.config.Log}
	data, err := os.ReadFile(filepath.Join(c.dir, stateFile))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrInvalid) {
		return nil, ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &c.record); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(c.dir, stateFile), err)
	}
	if err := json.Unmarshal(c.Config, &c.Spec); err != nil {
		return nil, fmt.Errorf("%s: spec: %w", filepath.Join(c.dir, stateFile), err)
	}
	return c, nil
}

func (c *Container) save() error {
	data, err := json.Marshal(c.record)
	if err != nil {
		return err
	}
	// Whole or not at all, but not for a crash of the machine: a container does not outlive that either.
	path := filepath.Join(c.dir, stateFile)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Paused is a status that runc has beyond the specification's.
const Paused specs.ContainerState = "paused"

// Status is where it is in its life.
func (c *Container) Status() specs.ContainerState {
	switch {
	case !c.alive():
		return specs.StateStopped
	case !c.Ready:
		return specs.StateCreating
	case c.waits():
		return specs.StateCreated
	case c.frozen():
		return Paused
	default:
		return specs.StateRunning
	}
}

// waits says whether nobody has started it.
func (c *Container) waits() bool {
	_, err := os.Stat(filepath.Join(c.dir, startFIFO))
	return err == nil
}

func (c *Container) frozen() bool {
	m, err := c.group()
	if err != nil {
		return false
	}
	state, err := m.GetFreezerState()
	return err == nil && state == cgroups.Frozen
}

func (c *Container) alive() bool {
	start, living := processes.Life(c.record.Pid)
	return living && start == c.record.Start
}

// State is what `state` prints.
func (c *Container) State() specs.State {
	s := specs.State{Version: specs.Version, ID: c.ID, Status: c.Status(), Bundle: c.Bundle, Annotations: c.Spec.Annotations}
	if s.Status != specs.StateStopped {
		s.Pid = c.record.Pid
	}
	return s
}

// group opens the container's control groups.
func (c *Container) group() (cgroups.Manager, error) {
	return group(c.ID, c.Spec.Linux.CgroupsPath, c.Systemd, &cgroups.Resources{SkipDevices: true}, c.CgroupPaths)
}

// hooks runs those of one name beside the container. Those after its end cannot fail: that is a warning.
func (c *Container) hooks(name string, status specs.ContainerState) error {
	state := inside.State{
		Version: specs.Version, ID: c.ID, Status: string(status), Bundle: c.Bundle, Annotations: c.Spec.Annotations,
	}
	if status != specs.StateStopped {
		state.Pid = c.record.Pid
	}
	last := name == "poststop"
	err := inside.RunHooks(name, c.Hooks[name], state, last)
	if err != nil && last {
		c.log.Warn(err.Error())
		return nil
	}
	return err
}

// Pid is the first process' number on this machine; another's, perhaps, once that has ended.
func (c *Container) Pid() int { return c.record.Pid }

// Rootfs is the root's directory.
func (c *Container) Rootfs() string { return c.record.Rootfs }

// Created is when the container was made.
func (c *Container) Created() time.Time { return c.record.Created }

// HasTerminal says whether a bundle's command has a terminal.
func HasTerminal(dir string) (bool, error) {
	spec, _, err := bundle.Load(dir)
	if err != nil {
		return false, err
	}
	return spec.Process != nil && spec.Process.Terminal, nil
}

// Owner is the user who created the container.
func (c *Container) Owner() int {
	var st unix.Stat_t
	if unix.Stat(c.dir, &st) != nil {
		return 0
	}
	return int(st.Uid)
}
