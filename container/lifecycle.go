package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/shim"
	"dhow/container/signals"
)

// StartContainer implements Runtime.
func (e *Engine) StartContainer(_ context.Context, id string) error {
	c, err := e.container(id)
	if err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	if state := c.state(); state != cri.ContainerState_CONTAINER_CREATED {
		return fmt.Errorf("start container %s: it is %s, not created", id, state)
	}
	spaces, err := e.openNamespaces(c)
	if err != nil {
		return fmt.Errorf("start container %s: %w", c.config.GetMetadata().GetName(), err)
	}
	defer closeFiles(spaces)
	reply, _, err := c.sandbox.ask(shim.Request{Op: shim.OpStart, Spec: filepath.Join(c.dir, specFile)}, spaces...)
	e.refresh(c)
	if err == nil {
		return nil
	}
	c.neverStarted(reply.Code, err)
	return fmt.Errorf("start container %s: %w", c.config.GetMetadata().GetName(), err)
}

// neverStarted settles a container whose shim could not even write why it did not start.
func (c *container) neverStarted(code int, why error) {
	if c.state() != cri.ContainerState_CONTAINER_CREATED {
		return
	}
	exit := shim.Exit{Code: code, At: time.Now().UnixNano(), Error: why.Error()}
	if code == 0 {
		exit.Code = 128
	}
	_ = writeJSON(filepath.Join(c.dir, exitFile), exit) // on a full disk it is known to this engine only
	c.setExit(exit)
}

// defaultStopTimeout is docker's.
const defaultStopTimeout = 10 * time.Second

// StopContainer implements Runtime. A negative timeout is the container's own (Extra.StopTimeout).
func (e *Engine) StopContainer(ctx context.Context, id string, timeout time.Duration) error {
	c, err := e.container(id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if c.state() != cri.ContainerState_CONTAINER_RUNNING {
		return nil
	}
	if timeout < 0 {
		timeout = c.stopTimeout()
	}
	if timeout > 0 {
		sig, err := c.stopSignal()
		if err != nil {
			e.log.Error("stop signal is not known; SIGTERM is sent", "container", id, "err", err)
		}
		if err := c.stop(sig); err != nil {
			return err
		}
		if c.ended(ctx, timeout) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := c.stop(unix.SIGKILL); err != nil {
		return err
	}
	if err := c.Cgroup.Kill(c.sandbox.ShimPID); err != nil {
		return err
	}
	if !c.ended(ctx, 30*time.Second) {
		return fmt.Errorf("container %s does not end after SIGKILL", id)
	}
	return nil
}

func (c *container) stopTimeout() time.Duration {
	switch s := c.Extra.StopTimeout; {
	case s == nil:
		return defaultStopTimeout
	case *s < 0:
		return math.MaxInt64
	default:
		return time.Duration(*s) * time.Second
	}
}

// stop sends a signal to the container's first process, and no restart policy starts it again. One that is paused
// hears it when it goes on.
func (c *container) stop(sig unix.Signal) error {
	_, _, err := c.sandbox.ask(shim.Request{Op: shim.OpStop, Container: c.ID, Signal: int(sig)})
	if err != nil && !c.sandbox.shimLives() {
		return nil // it took the container with it
	}
	if err != nil {
		return err
	}
	return c.Cgroup.Thaw()
}

// StopWith sends a signal that is meant to end a container: no restart policy starts it again.
func (e *Engine) StopWith(_ context.Context, id, signal string) error {
	c, err := e.running(id)
	if err != nil {
		return err
	}
	sig, err := signals.Parse(signal)
	if err != nil {
		return fmt.Errorf("stop container %s: %w", id, err)
	}
	return c.stop(sig)
}

// Kill sends a signal to the container's first process. The stop signal and SIGKILL also end its restarts.
func (e *Engine) Kill(_ context.Context, id, signal string) error {
	c, err := e.running(id)
	if err != nil {
		return err
	}
	sig, err := signals.Parse(signal)
	if err != nil {
		return fmt.Errorf("kill container %s: %w", id, err)
	}
	if own, err := c.stopSignal(); sig == unix.SIGKILL || err == nil && sig == own {
		return c.stop(sig)
	}
	_, _, err = c.sandbox.ask(shim.Request{Op: shim.OpSignal, Container: c.ID, Signal: int(sig)})
	return err
}

// Wait blocks until the container has ended for good, and returns its exit code.
func (e *Engine) Wait(ctx context.Context, id string) (int, error) {
	c, err := e.container(id)
	if err != nil {
		return 0, err
	}
	if !c.ended(ctx, math.MaxInt64) {
		return 0, context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.exit.Code, nil
}

// ended waits for the end of the container; an engine that does not Run looks at its record.
func (c *container) ended(ctx context.Context, within time.Duration) bool {
	deadline := time.After(within)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-c.exited:
			return true
		case <-tick.C:
			_ = c.readExit()
		case <-deadline:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// stopSignal is the configuration's, the image's, or SIGTERM, also where theirs is none.
func (c *container) stopSignal() (unix.Signal, error) {
	name := cmp.Or(c.Extra.StopSignal, c.Stop)
	if s := c.config.StopSignal; c.Extra.StopSignal == "" && s != cri.Signal_SIGNAL_RUNTIME_DEFAULT {
		name = s.String()
	}
	if name == "" {
		return unix.SIGTERM, nil
	}
	sig, err := signals.Parse(name)
	if err != nil {
		return unix.SIGTERM, err
	}
	return sig, nil
}

// RemoveContainer implements Runtime.
func (e *Engine) RemoveContainer(ctx context.Context, id string) error {
	c, err := e.container(id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err := e.StopContainer(ctx, id, 0); err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	if err := e.unmakeContainer(c); err != nil {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	e.mu.Lock()
	delete(e.containers, id)
	delete(c.sandbox.containers, id)
	e.mu.Unlock()
	e.emit(cri.ContainerEventType_CONTAINER_DELETED_EVENT, id, c.sandbox)
	return nil
}

func (e *Engine) unmakeContainer(c *container) error {
	if err := c.Cgroup.Kill(c.sandbox.ShimPID); err != nil {
		return err
	}
	removed := make(chan error, 1)
	go func() { removed <- c.Cgroup.Remove() }()
	err := e.config.Images.RemoveSnapshot(context.Background(), c.ID)
	if err = errors.Join(err, <-removed); err != nil {
		return err
	}
	if err := e.forgetImages(c); err != nil {
		return err
	}
	if c.state() != cri.ContainerState_CONTAINER_CREATED {
		c.runPoststop()
	}
	// Its record goes first: without its end, after a crash, it would run for ever.
	if err := os.Remove(filepath.Join(c.dir, containerFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(c.dir)
}

// ReopenContainerLog implements Runtime.
func (e *Engine) ReopenContainerLog(_ context.Context, id string) error {
	c, err := e.container(id)
	if err != nil {
		return err
	}
	if c.state() != cri.ContainerState_CONTAINER_RUNNING {
		return fmt.Errorf("container %s is not running", id)
	}
	_, _, err = c.sandbox.ask(shim.Request{Op: shim.OpReopen, Container: id})
	return err
}
