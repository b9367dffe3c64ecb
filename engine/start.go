package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"dhow/container"
)

// Start runs a container that does not.
func (s *Service) Start(ctx context.Context, ref string) error {
	_, err := s.start(ctx, ref, func(runtime *container.Engine, id string) error { return runtime.StartContainer(ctx, id) })
	return err
}

// StartAttached runs a container and passes its streams until it ends, or ctx does, which leaves it running. It calls
// started when it runs.
func (s *Service) StartAttached(ctx context.Context, ref string, streams container.Streams, started func(*Container)) error {
	begun := make(chan struct{})
	ended := make(chan error, 1)
	c, err := s.start(ctx, ref, func(runtime *container.Engine, id string) error {
		go func() {
			ended <- runtime.StartAttached(ctx, id, streams, func() { close(begun) })
		}()
		select {
		case <-begun:
			return nil
		case err := <-ended:
			select {
			case <-begun: // so short a life
				ended <- err
				return nil
			default:
				return err
			}
		}
	})
	if err != nil {
		return err
	}
	if started != nil {
		started(c)
	}
	err = <-ended
	if now, e := s.Get(context.WithoutCancel(ctx), c.ID); e != nil || !now.Alive() {
		return nil // another process may have taken its shim away
	}
	return err
}

// start makes all that a container needs to run, runs it by launch, and takes it down. The lock is held meanwhile.
func (s *Service) start(ctx context.Context, ref string, launch func(*container.Engine, string) error) (*Container, error) {
	c, unlock, err := s.held(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer unlock()
	runtime, err := s.runtime()
	if err != nil {
		return nil, err
	}
	if c, err = s.settleLocked(ctx, runtime, c); err != nil || c.Alive() {
		return c, err
	}
	if err := s.clearStrays(ctx, runtime, c); err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, runtime, c); err != nil {
		return nil, s.notStarted(ctx, runtime, c, err)
	}
	if err := launch(runtime, c.State.Runtime); err != nil {
		return nil, s.notStarted(ctx, runtime, c, err)
	}
	c.State.Status, c.State.Started, c.State.Finished = Running, time.Now(), time.Time{}
	if status, err := runtimeStatus(ctx, runtime, c); err == nil && status != nil && status.StartedAt != 0 {
		c.State.Started = time.Unix(0, status.StartedAt)
	}
	if err := s.save(c); err != nil {
		return nil, err
	}
	s.event(c, "start", nil)
	return c, s.watchHealth(c)
}

// prepare makes the sandbox with its network, and the container in it.
func (s *Service) prepare(ctx context.Context, runtime *container.Engine, c *Container) error {
	if err := s.checkMounts(c); err != nil {
		return err
	}
	if err := s.writeFiles(c); err != nil {
		return err
	}
	c.State = State{Status: c.State.Status, Started: c.State.Started, Finished: c.State.Finished, ExitCode: c.State.ExitCode}
	if err := s.choosePorts(ctx, runtime, c); err != nil {
		return err
	}
	if err := s.save(c); err != nil { // the network reads it
		return err
	}
	plan, err := s.plan(ctx, c)
	if err != nil {
		return err
	}
	if c.State.Sandbox, err = runtime.RunPodSandbox(ctx, plan.sandbox, ""); err != nil {
		return err
	}
	attached, err := s.load(c.ID) // what the network has written
	if err != nil {
		return err
	}
	c.State.Networks = attached.State.Networks
	if err := s.save(c); err != nil {
		return err
	}
	if err := s.answerNames(ctx, runtime, c); err != nil {
		return err
	}
	if c.State.Runtime, err = runtime.CreateContainerWith(ctx, c.State.Sandbox, plan.container, plan.sandbox, plan.extra); err != nil {
		return err
	}
	if err := s.save(c); err != nil {
		return err
	}
	return s.refreshNames(c)
}

// notStarted clears away, and keeps the reason and the exit code.
func (s *Service) notStarted(ctx context.Context, runtime *container.Engine, c *Container, why error) error {
	ctx = context.WithoutCancel(ctx)
	code := 128
	if status, err := runtimeStatus(ctx, runtime, c); err == nil && status != nil && (status.ExitCode == 126 || status.ExitCode == 127) {
		code = int(status.ExitCode)
	}
	c.State.ExitCode, c.State.Error = code, why.Error()
	return &StartError{Code: code, Err: errors.Join(why, s.release(ctx, runtime, c))}
}

// checkMounts makes sure that what is to be mounted is there.
func (s *Service) checkMounts(c *Container) error {
	for _, m := range c.Mounts {
		if _, err := os.Lstat(m.Path); m.CreateSource && errors.Is(err, os.ErrNotExist) {
			if err := os.MkdirAll(m.Path, 0o755); err != nil {
				return fmt.Errorf("make mount source %s: %w", m.Path, err)
			}
		}
		if _, err := os.Stat(m.Path); err != nil {
			return fmt.Errorf("invalid mount config for type %q: bind source path does not exist: %s", m.Type, m.Path)
		}
		if err := relabel(m.Path, m.Relabel); err != nil {
			return err
		}
	}
	return nil
}
