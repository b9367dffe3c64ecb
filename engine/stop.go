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

// Stopping is how a container is to end. The zero value is as the container says.
type Stopping struct {
	// Timeout until SIGKILL; a negative one is for ever.
	Timeout *time.Duration
	// Signal comes first, by name or number.
	Signal string
}

// Stop ends a container: its stop signal, then after the timeout SIGKILL. One that does not run is left as it is.
func (s *Service) Stop(ctx context.Context, ref string, how Stopping) error {
	c, unlock, runtime, err := s.lockAlive(ctx, ref)
	if err != nil || c == nil {
		return err
	}
	defer unlock()
	grace := defaultStop
	switch {
	case how.Timeout != nil:
		grace = *how.Timeout
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
	if err := stop(ctx, runtime, c.State.Runtime, how.Signal, grace); err != nil {
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

// stop sends a signal of the user's choice first, if there is one.
func stop(ctx context.Context, runtime *container.Engine, id, signal string, grace time.Duration) error {
	if signal == "" || grace == 0 {
		return runtime.StopContainer(ctx, id, grace)
	}
	if err := runtime.StopWith(ctx, id, signal); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if _, err := runtime.Wait(within, id); err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return runtime.StopContainer(ctx, id, 0)
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
func (s *Service) Restart(ctx context.Context, ref string, how Stopping) error {
	found, err := s.Find(ref)
	if err != nil {
		return err
	}
	if err := s.Stop(ctx, found.ID, how); err != nil {
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
	c, err := s.Get(ctx, ref)
	if err != nil {
		return 0, err
	}
	for id := c.ID; c.Alive(); {
		if err := s.awaitEnd(ctx, c); err != nil {
			return 0, err
		}
		c, err = s.settleNow(ctx, id)
		var gone *NotFoundError
		if errors.As(err, &gone) {
			return s.lastWords(id), nil
		}
		if err != nil {
			return 0, err
		}
	}
	return c.State.ExitCode, nil
}

// lookEvery is how often a container is looked at whose shim does not answer.
const lookEvery = 20 * time.Millisecond

// awaitEnd returns when the shim says that a container has ended, or a moment later if it says nothing.
func (s *Service) awaitEnd(ctx context.Context, c *Container) error {
	runtime, err := s.runtime()
	if err != nil {
		return err
	}
	err = runtime.Attach(ctx, c.State.Runtime, container.Streams{})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	select {
	case <-time.After(lookEvery):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// settleNow is settle that waits for whoever is at work on the container.
func (s *Service) settleNow(ctx context.Context, id string) (*Container, error) {
	c, unlock, err := s.lockContainer(id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	runtime, err := s.runtime()
	if err != nil {
		return nil, err
	}
	return s.settleLocked(ctx, runtime, c)
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
