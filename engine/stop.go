package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dhow/container"
)

// defaultStop is how long a container has to end, as docker's.
const defaultStop = 10 * time.Second

// Stop ends a container: its stop signal, then after the timeout SIGKILL. A nil timeout is the container's own, a negative
// one is for ever. One that does not run is left as it is.
func (s *Service) Stop(ctx context.Context, ref string, timeout *time.Duration) error {
	c, unlock, runtime, err := s.lockAlive(ctx, ref)
	if err != nil || c == nil {
		return err
	}
	defer unlock()
	grace := defaultStop
	switch {
	case timeout != nil:
		grace = *timeout
	case c.Spec.Extra.StopTimeout != nil:
		grace = time.Duration(*c.Spec.Extra.StopTimeout) * time.Second
	}
	if grace < 0 {
		grace = 1 << 62
	}
	if c.State.Paused {
		if err := runtime.Unpause(ctx, c.State.Runtime); err != nil {
			return err
		}
		c.State.Paused = false
	}
	c.State.Stopped = true
	if err := runtime.StopContainer(ctx, c.State.Runtime, grace); err != nil {
		return fmt.Errorf("cannot stop container: %s: %w", ref, err)
	}
	_, err = s.settleLocked(ctx, runtime, c)
	var gone *NotFoundError
	if errors.As(err, &gone) {
		return nil
	}
	if err == nil {
		s.event(c, "stop", nil)
	}
	return err
}

// lockAlive locks a container and gives nil if it does not run.
func (s *Service) lockAlive(ctx context.Context, ref string) (*Container, func(), *container.Engine, error) {
	found, err := s.Get(ctx, ref)
	if err != nil || !found.Alive() {
		return nil, nil, nil, err
	}
	c, unlock, err := s.lockContainer(found.ID)
	if err != nil {
		return nil, nil, nil, err
	}
	runtime, err := s.runtime()
	if err == nil {
		c, err = s.settleLocked(ctx, runtime, c)
	}
	if err != nil || !c.Alive() {
		unlock()
		return nil, nil, nil, err
	}
	return c, unlock, runtime, nil
}

// Restart is Stop and Start.
func (s *Service) Restart(ctx context.Context, ref string, timeout *time.Duration) error {
	found, err := s.Find(ref)
	if err != nil {
		return err
	}
	if err := s.Stop(ctx, found.ID, timeout); err != nil {
		return err
	}
	if err := s.Start(ctx, found.ID); err != nil {
		return err
	}
	s.event(found, "restart", nil)
	return nil
}

// Wait blocks until a container does not run, and returns its exit code.
func (s *Service) Wait(ctx context.Context, ref string) (int, error) {
	found, err := s.Get(ctx, ref)
	if err != nil {
		return 0, err
	}
	c := found
	for c.Alive() {
		if err := s.awaitChange(ctx, c); err != nil {
			return 0, err
		}
		now, err := s.Get(ctx, c.ID)
		var gone *NotFoundError
		if errors.As(err, &gone) {
			return s.lastWords(c.ID), nil
		}
		if err != nil {
			return 0, err
		}
		c = now
	}
	return c.State.ExitCode, nil
}

// lookEvery is how often a container is looked at that cannot be listened to.
const lookEvery = 20 * time.Millisecond

// awaitChange returns when the shim says that something has ended, or a moment later.
func (s *Service) awaitChange(ctx context.Context, c *Container) error {
	runtime, err := s.runtime()
	if err != nil {
		return err
	}
	if c.State.Runtime != "" && runtime.Attach(ctx, c.State.Runtime, container.Streams{}) == nil && ctx.Err() == nil {
		return nil
	}
	select {
	case <-time.After(lookEvery):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Outcome is the exit code of a container whose end has been seen: Wait that does not mind that it is gone.
func (s *Service) Outcome(ctx context.Context, id string) (int, error) {
	code, err := s.Wait(ctx, id)
	var gone *NotFoundError
	if errors.As(err, &gone) {
		return s.lastWords(id), nil
	}
	return code, err
}
