package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/internal/filelock"
)

// settle brings a record up to what its shim says. There is no daemon that waits for ends: whoever is first, of those who
// look and the command that the shim starts, takes a container's end down, gives its network back, and removes it if it was
// to be. Somebody else who has its lock is at work on it, and will.
func (s *Service) settle(ctx context.Context, runtime *container.Engine, c *Container) (*Container, error) {
	if c.State.Sandbox == "" {
		return c, nil
	}
	status, err := runtimeStatus(ctx, runtime, c)
	if err != nil {
		return nil, err
	}
	if stillRuns(status) && sandboxLives(ctx, runtime, c) {
		c.alive(ctx, runtime, status)
		return c, nil
	}
	unlock, err := s.lockEnded(ctx, c.ID, hasEnded(status))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &NotFoundError{Kind: "container", Name: c.ID}
	}
	if errors.Is(err, filelock.ErrHeld) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	defer unlock()
	if c, err = s.load(c.ID); err != nil || c.State.Sandbox == "" {
		return c, err
	}
	runtime, err = s.runtime() // as it is under the lock
	if err != nil {
		return nil, err
	}
	return s.settleLocked(ctx, runtime, c)
}

// atWork is how long one who takes an end down is waited for.
const atWork = 5 * time.Second

// lockEnded takes the lock of a container that does not run. Who has it may take its end down, which is over soon, or start
// or remove it, which is not waited for.
func (s *Service) lockEnded(ctx context.Context, id string, ended bool) (unlock func(), err error) {
	path := filepath.Join(s.dir(id), lockFile)
	unlock, err = filelock.Lock(path, filelock.Try)
	if !ended || !errors.Is(err, filelock.ErrHeld) {
		return unlock, err
	}
	soon, cancel := context.WithTimeout(ctx, atWork)
	defer cancel()
	unlock, err = filelock.Wait(soon, path, func() {})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return nil, filelock.ErrHeld
	}
	return unlock, err
}

// settleLocked is settle for who has the lock.
func (s *Service) settleLocked(ctx context.Context, runtime *container.Engine, c *Container) (*Container, error) {
	if c.State.Sandbox == "" {
		return c, nil
	}
	status, err := runtimeStatus(ctx, runtime, c)
	if err != nil {
		return nil, err
	}
	lives := sandboxLives(ctx, runtime, c)
	if stillRuns(status) && lives {
		c.alive(ctx, runtime, status)
		return c, nil
	}
	if c.State.Runtime == "" || status != nil && status.State == cri.ContainerState_CONTAINER_CREATED {
		// Its starting was cut short; it is what it was before.
		return c, errors.Join(runtime.ClearHalfMade(c.ID), s.release(ctx, runtime, c))
	}
	if d, err := runtime.Details(ctx, c.State.Runtime); err == nil {
		c.State.Restarts = d.Restarts
	}
	c.ended(status)
	if err := s.release(ctx, runtime, c); err != nil {
		return nil, fmt.Errorf("container %s has ended: %w", c.ID, err)
	}
	s.event(c, "die", map[string]string{"exitCode": fmt.Sprint(c.State.ExitCode)})
	if c.Spec.AutoRemove {
		if err := s.removeLocked(ctx, c, true); err != nil {
			return nil, err
		}
		return nil, &NotFoundError{Kind: "container", Name: c.ID}
	}
	return c, nil
}

// alive takes over what is known of a container that runs. Its record may be from before it was started.
func (c *Container) alive(ctx context.Context, runtime *container.Engine, status *cri.ContainerStatus) {
	if status.StartedAt != 0 {
		c.State.Started = time.Unix(0, status.StartedAt)
	}
	c.State.Status = aliveStatus(ctx, runtime, c)
}

func aliveStatus(ctx context.Context, runtime *container.Engine, c *Container) string {
	d, err := runtime.Details(ctx, c.State.Runtime)
	if err != nil {
		return Running
	}
	c.State.Paused, c.State.Restarts = d.Paused, d.Restarts
	switch {
	case d.Paused:
		return Paused
	case d.Restarting:
		if d.Last != nil {
			c.State.ExitCode, c.State.Finished = d.Last.Code, time.Unix(0, d.Last.At)
		}
		return Restarting
	}
	return Running
}

func stillRuns(status *cri.ContainerStatus) bool {
	return status != nil && status.State == cri.ContainerState_CONTAINER_RUNNING
}

func hasEnded(status *cri.ContainerStatus) bool {
	return status != nil && status.State == cri.ContainerState_CONTAINER_EXITED
}

func sandboxLives(ctx context.Context, runtime *container.Engine, c *Container) bool {
	status, err := runtime.PodSandboxStatus(ctx, c.State.Sandbox)
	return err == nil && status.State == cri.PodSandboxState_SANDBOX_READY
}

// lostCode is the exit code of a container of which nobody can say how it ended: after a reboot, as docker's.
const lostCode = 255

// ended takes down how it ended; nil: nobody knows.
func (c *Container) ended(status *cri.ContainerStatus) {
	c.State.Status, c.State.Paused = Exited, false
	if !hasEnded(status) {
		c.State.ExitCode, c.State.Finished = lostCode, time.Now()
		if status != nil {
			c.State.ExitCode = 137
		}
		return
	}
	c.State.ExitCode, c.State.Finished = int(status.ExitCode), time.Unix(0, status.FinishedAt)
	c.State.OOM = status.Reason == "OOMKilled"
	if status.StartedAt != 0 {
		c.State.Started = time.Unix(0, status.StartedAt)
	}
	c.State.Error = status.Message
}

// release gives back what a container has while it runs.
func (s *Service) release(ctx context.Context, runtime *container.Engine, c *Container) error {
	var failed error
	if c.State.Sandbox != "" {
		failed = runtime.RemovePodSandbox(ctx, c.State.Sandbox)
	}
	failed = errors.Join(failed, s.disconnected(c))
	if failed != nil {
		return failed
	}
	c.State.Sandbox, c.State.Runtime = "", ""
	c.State.Ports = nil
	return s.save(c)
}
