package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/shim"
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
	reply, _, err := c.sandbox.ask(shim.Request{Op: shim.OpStart, Spec: filepath.Join(c.dir, specFile)})
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

// StopContainer implements Runtime.
func (e *Engine) StopContainer(ctx context.Context, id string, timeout time.Duration) error {
	c, err := e.container(id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if c.state() != cri.ContainerState_CONTAINER_RUNNING {
		return nil
	}
	if timeout > 0 {
		sig, err := c.stopSignal()
		if err != nil {
			e.log.Error("stop signal is not known; SIGTERM is sent", "container", id, "err", err)
		}
		if err := c.signal(sig); err != nil {
			return err
		}
		if c.ended(ctx, timeout) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := c.signal(unix.SIGKILL); err != nil {
		return err
	}
	if err := killGroup(c.Cgroup, c.sandbox.ShimPID); err != nil {
		return err
	}
	if !c.ended(ctx, 30*time.Second) {
		return fmt.Errorf("container %s does not end after SIGKILL", id)
	}
	return nil
}

// signal sends one to the container's first process.
func (c *container) signal(sig unix.Signal) error {
	_, _, err := c.sandbox.ask(shim.Request{Op: shim.OpSignal, Container: c.ID, Signal: int(sig)})
	if err != nil && !c.sandbox.shimLives() {
		return nil // it took the container with it
	}
	return err
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

// stopSignal is the configuration's, the image's, or SIGTERM.
func (c *container) stopSignal() (unix.Signal, error) {
	if s := c.config.StopSignal; s != cri.Signal_SIGNAL_RUNTIME_DEFAULT {
		return signalNumber(s.String())
	}
	if c.Stop != "" {
		return signalNumber(c.Stop)
	}
	return unix.SIGTERM, nil
}

// signalNumber reads "SIGTERM", "TERM", "15" or "SIGRTMIN+3".
func signalNumber(text string) (unix.Signal, error) {
	if n, err := strconv.Atoi(text); err == nil {
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIGNAL_") // CRI's spelling
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if rest, ok := strings.CutPrefix(name, "SIGRTMIN"); ok {
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, "PLUS"), "+")
		n, err := strconv.Atoi("0" + rest)
		return unix.Signal(34 + n), err
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	return unix.SIGTERM, fmt.Errorf("unknown signal %q", text)
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
	if err := killGroup(c.Cgroup, c.sandbox.ShimPID); err != nil {
		return err
	}
	if err := removeGroup(c.Cgroup); err != nil {
		return err
	}
	if err := e.config.Images.RemoveSnapshot(context.Background(), c.ID); err != nil {
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

// UpdateContainerResources implements Runtime.
func (e *Engine) UpdateContainerResources(_ context.Context, id string, r *cri.ContainerResources) error {
	c, err := e.container(id)
	if err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	wanted := limits(r.GetLinux(), true, nil)
	wanted.SkipDevices = true
	m, err := groupManager(c.Cgroup, &cgroups.Resources{SkipDevices: true})
	if err != nil {
		return err
	}
	if err := m.Set(wanted); err != nil {
		return fmt.Errorf("update container %s: %w", id, err)
	}
	if c.config.Linux == nil {
		c.config.Linux = &cri.LinuxContainerConfig{}
	}
	c.config.Linux.Resources = r.GetLinux()
	return c.save()
}
