package oci

import (
	"errors"
	"fmt"
	"os"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"dhow/container/oci/bundle"
)

// Processes are the numbers of all processes of the container on this machine.
func (c *Container) Processes() ([]int, error) {
	m, err := c.group()
	if err != nil {
		return nil, err
	}
	pids, err := m.GetAllPids()
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return pids, err
}

// Pause freezes all processes of a container; Resume lets them go on.
func (c *Container) Pause() error {
	switch status := c.Status(); status {
	case specs.StateRunning, specs.StateCreated:
		return c.freeze(cgroups.Frozen)
	default:
		return fmt.Errorf("container not running or created: %s", status)
	}
}

// Resume is Pause's opposite.
func (c *Container) Resume() error {
	if !c.frozen() {
		return errors.New("container not paused")
	}
	return c.freeze(cgroups.Thawed)
}

func (c *Container) freeze(state cgroups.FreezerState) error {
	m, err := c.group()
	if err != nil {
		return err
	}
	return m.Freeze(state)
}

// Update changes limits while the container is there; what is not set stays.
func (c *Container) Update(r *specs.LinuxResources) error {
	if c.Status() == specs.StateStopped {
		return ErrNotRunning
	}
	wanted, err := bundle.Resources(r)
	if err != nil {
		return err
	}
	if r.Devices != nil {
		wanted.SkipDevices = false
		if wanted.Devices, err = bundle.DeviceRules(r.Devices); err != nil {
			return err
		}
	}
	m, err := c.group()
	if err != nil {
		return err
	}
	return m.Set(wanted)
}

// Stats is what the container has used.
func (c *Container) Stats() (*cgroups.Stats, error) {
	if c.Status() == specs.StateStopped {
		return nil, fmt.Errorf("container with id %s is not running", c.ID)
	}
	m, err := c.group()
	if err != nil {
		return nil, err
	}
	return m.GetStats()
}
