package engine

import (
	"context"

	"dhow/container"
)

// PID is the first process of a container as the machine numbers it; 0 when it does not run.
func (s *Service) PID(c *Container) int {
	d, err := s.Details(context.Background(), c)
	if err != nil || d == nil {
		return 0
	}
	return d.Pid
}

// Details are what the container engine knows of a container that runs; nil of one that does not.
func (s *Service) Details(ctx context.Context, c *Container) (*container.Details, error) {
	if c.State.Runtime == "" {
		return nil, nil
	}
	runtime, err := s.runtime()
	if err != nil {
		return nil, err
	}
	return runtime.Details(ctx, c.State.Runtime)
}

// Top lists the processes of a running container.
func (s *Service) Top(ctx context.Context, ref string) ([]container.Process, error) {
	c, runtime, err := s.running(ctx, ref)
	if err != nil {
		return nil, err
	}
	return runtime.Top(ctx, c.State.Runtime)
}

// Usage is what running containers have used, by their ids. Those that have ended since they were listed are left out.
func (s *Service) Usage(ctx context.Context, list []*Container) (map[string]*container.Usage, error) {
	runtime, err := s.runtime()
	if err != nil {
		return nil, err
	}
	return UsageOf(ctx, runtime, list), nil
}

// UsageOf is the same of containers that another runtime than the service's holds.
func UsageOf(ctx context.Context, runtime *container.Engine, list []*Container) map[string]*container.Usage {
	all := map[string]*container.Usage{}
	for _, c := range list {
		if !c.Alive() {
			continue
		}
		if u, err := runtime.Usage(ctx, c.State.Runtime); err == nil {
			all[c.ID] = u
		}
	}
	return all
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
	change, action := runtime.Unpause, "unpause"
	if paused {
		change, action = runtime.Pause, "pause"
	}
	if err := change(ctx, c.State.Runtime); err != nil {
		return err
	}
	s.event(c, action, nil)
	return nil
}

// Update changes a container's limits and its restart policy, now if it runs, and for its next starts.
func (s *Service) Update(ctx context.Context, ref string, change func(*Spec) error) error {
	found, err := s.Get(ctx, ref)
	if err != nil {
		return err
	}
	c, unlock, err := s.lockContainer(found.ID)
	if err != nil {
		return err
	}
	defer unlock()
	if err := change(&c.Spec); err != nil {
		return err
	}
	if found.Alive() {
		runtime, err := s.runtime()
		if err != nil {
			return err
		}
		x := c.Spec.Extra
		if x.Restart.Policy == "" {
			x.Restart.Policy = container.RestartNo
		}
		if err := runtime.UpdateContainerWith(ctx, c.State.Runtime, c.Spec.Resources, x); err != nil {
			return err
		}
	}
	s.event(c, "update", nil)
	return s.save(c)
}
