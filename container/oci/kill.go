package oci

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Kill sends a signal to the first process, or to all. A container that shares its processes' namespace has no kernel to
// kill the others when the first ends, so SIGKILL goes to all of them.
func (c *Container) Kill(sig unix.Signal, all bool) error {
	if c.Status() == specs.StateStopped {
		if all {
			return c.signalAll(sig)
		}
		return ErrNotRunning
	}
	if all || sig == unix.SIGKILL && !c.ownPIDs() {
		return c.signalAll(sig)
	}
	err := unix.Kill(c.record.Pid, sig)
	if errors.Is(err, unix.ESRCH) {
		return ErrNotRunning
	}
	if err == nil && sig == unix.SIGKILL {
		err = c.thaw() // a frozen process does not end
	}
	return err
}

func (c *Container) ownPIDs() bool { return c.owns(specs.PIDNamespace) }

// owns says whether a namespace was made for the container.
func (c *Container) owns(kind specs.LinuxNamespaceType) bool {
	for _, n := range c.Spec.Linux.Namespaces {
		if n.Type == kind {
			return n.Path == ""
		}
	}
	return false
}

func (c *Container) thaw() error {
	if !c.frozen() {
		return nil
	}
	m, err := c.group()
	if err != nil {
		return err
	}
	return m.Freeze(cgroups.Thawed)
}

// signalAll stops the processes while it sends, so that none escapes by forking.
func (c *Container) signalAll(sig unix.Signal) error {
	m, err := c.group()
	if err != nil {
		return err
	}
	if !c.frozen() {
		_ = m.Freeze(cgroups.Frozen) // without a freezer it is a matter of luck
		defer func() { _ = m.Freeze(cgroups.Thawed) }()
	}
	pids, err := m.GetAllPids()
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if pid == os.Getpid() {
			continue
		}
		if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill process %d: %w", pid, err)
		}
	}
	return nil
}

// Delete removes a container that has ended, or never started; with force, any.
func (r *Runtime) Delete(id string, force bool) error {
	c, err := r.Container(id)
	if errors.Is(err, ErrNotExist) {
		if checkID(id) != nil {
			return err
		}
		err = errors.Join(err, os.RemoveAll(r.dir(id))) // what a create that was killed has left
		if force {
			return nil
		}
	}
	if err != nil {
		return err
	}
	switch status := c.Status(); {
	case status == specs.StateStopped:
	case status == specs.StateCreated, force:
		if err := c.killAndWait(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("cannot delete container %s that is not stopped: %s", id, status)
	}
	return c.destroy()
}

func (c *Container) killAndWait() error {
	init, err := c.pidfd()
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer init.Close()
	if err := c.Kill(unix.SIGKILL, false); err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	const patience = 10 * time.Second
	for deadline := time.Now().Add(patience); ; {
		ended, err := unix.Poll([]unix.PollFd{{Fd: int32(init.Fd()), Events: unix.POLLIN}}, int(max(0, time.Until(deadline).Milliseconds())))
		switch {
		case errors.Is(err, unix.EINTR) && time.Now().Before(deadline):
		case err != nil:
			return fmt.Errorf("wait for process %d: %w", c.record.Pid, err)
		case ended == 0:
			return fmt.Errorf("container %s: process %d has not ended %v after SIGKILL", c.ID, c.record.Pid, patience)
		default:
			return nil
		}
	}
}

// destroy removes what is left of a container whose first process has ended.
func (c *Container) destroy() error {
	if !c.ownPIDs() {
		if err := c.signalAll(unix.SIGKILL); err != nil {
			return err
		}
	}
	m, err := c.group()
	if err != nil {
		return err
	}
	if err := m.Destroy(); err != nil {
		return fmt.Errorf("unable to remove container's cgroup: %w", err)
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("unable to remove container state dir: %w", err)
	}
	return c.hooks("poststop", specs.StateStopped)
}
