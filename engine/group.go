package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"

	"dhow/container"
)

// group is a running container's control group.
func (s *Service) group(c *Container) (cgroups.Manager, error) {
	return manager.New(&cgroups.Cgroup{
		Path: path.Join(s.config.CgroupParent, c.ID, c.State.Runtime), Resources: &cgroups.Resources{SkipDevices: true},
	})
}

// pids are a running container's processes as the machine numbers them, the first one first.
func (s *Service) pids(c *Container) ([]int, error) {
	if c.State.Runtime == "" {
		return nil, nil
	}
	m, err := s.group(c)
	if err != nil {
		return nil, err
	}
	pids, err := m.GetAllPids()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	slices.Sort(pids)
	return pids, err
}

// PID is the first process of a container as the machine numbers it; 0 when it does not run.
func (s *Service) PID(c *Container) int {
	pids, err := s.pids(c)
	if err != nil || len(pids) == 0 {
		return 0
	}
	return pids[0]
}

// freeze holds a container's processes, or lets them go on.
func (s *Service) freeze(_ *container.Engine, c *Container, frozen bool) error {
	m, err := s.group(c)
	if err != nil {
		return err
	}
	state := cgroups.Thawed
	if frozen {
		state = cgroups.Frozen
	}
	if err := m.Freeze(state); err != nil {
		return fmt.Errorf("freeze container %s: %w", c.Name, err)
	}
	return nil
}

// Pause stops the processes of a container where they are.
func (s *Service) Pause(ctx context.Context, ref string) error { return s.setPaused(ctx, ref, true) }

// Unpause lets them go on.
func (s *Service) Unpause(ctx context.Context, ref string) error { return s.setPaused(ctx, ref, false) }

func (s *Service) setPaused(ctx context.Context, ref string, paused bool) error {
	c, unlock, runtime, err := s.lockAlive(ctx, ref)
	if err != nil {
		return err
	}
	if c == nil {
		return conflict("Container %s is not running", ref)
	}
	defer unlock()
	if c.State.Paused == paused {
		word := map[bool]string{true: "already", false: "not"}[paused]
		return conflict("Container %s is %s paused", ref, word)
	}
	if err := s.freeze(runtime, c, paused); err != nil {
		return err
	}
	c.State.Paused = paused
	if err := s.save(c); err != nil {
		return err
	}
	s.event(c, map[bool]string{true: "pause", false: "unpause"}[paused], nil)
	return nil
}
