package inside

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"dhow/container/shim"
)

// buildRoot makes the root with all its mounts, at its place on the machine but in a mount namespace of the container's
// own, and then makes it "/".
func (p *part) buildRoot(c *Container) error {
	unix.Umask(0) // devices and mount points are made as they are meant
	defer unix.Umask(0o022)
	err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Propagation: unix.MS_SLAVE})
	if err != nil {
		return fmt.Errorf("make mounts slaves: %w", err)
	}
	propagation := uint64(unix.MS_SLAVE)
	if c.Propagation == unix.MS_PRIVATE {
		propagation = unix.MS_PRIVATE
	}
	err = unix.MountSetattr(c.RootFD, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Propagation: propagation})
	if err != nil {
		return fmt.Errorf("make root a slave: %w", err)
	}
	err = unix.MoveMount(c.RootFD, "", unix.AT_FDCWD, c.Rootfs, unix.MOVE_MOUNT_F_EMPTY_PATH)
	if errors.Is(err, unix.EACCES) { // a user namespace's root may have no way there
		err = unix.MoveMount(c.RootFD, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	if err != nil {
		return fmt.Errorf("mount root %s: %w", c.Rootfs, err)
	}
	if err := mountAll(c); err != nil {
		return err
	}
	if err := p.lastBeforePivot(c); err != nil {
		return err
	}
	return enter(c)
}

// lastBeforePivot has the hooks run, those of the machine by the runtime.
func (p *part) lastBeforePivot(c *Container) error {
	if err := p.say(Message{Step: StepMounted}); err != nil {
		return err
	}
	if err := p.await(); err != nil {
		return err
	}
	return c.hooks("createContainer", "creating")
}

func mountAll(c *Container) error {
	ownDev := true
	for i := range c.Mounts {
		m := &c.Mounts[i]
		if path.Clean(m.Target) == "/dev" && m.FD != 0 {
			ownDev = false // the machine's, or somebody's: nothing is made in it
		}
		if err := mountOne(c, m); err != nil {
			return fmt.Errorf("error mounting %q to rootfs at %q: %w", m.Source, m.Target, err)
		}
	}
	if ownDev {
		if err := makeDevices(c); err != nil {
			return err
		}
	}
	if c.Process.TTY {
		if err := openTerminal(c.RootFD, &c.Process, c.ConsoleFD); err != nil {
			return err
		}
	}
	if err := shim.SetSysctls(c.Sysctls); err != nil {
		return err
	}
	if err := shim.Protect(c.RootFD, c.Masked, c.Protected); err != nil {
		return err
	}
	return finish(c)
}

// finish makes read-only what had to be written to until now.
func finish(c *Container) error {
	for i := range c.Mounts {
		m := &c.Mounts[i]
		if m.FD != 0 || !later(m) || m.Flags&unix.MS_RDONLY == 0 {
			continue
		}
		if err := setAttributes(c.RootFD, m.Target, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return fmt.Errorf("make %s read-only: %w", m.Target, err)
		}
	}
	return nil
}

// later: other mounts and devices may have their places on it.
func later(m *Mount) bool { return m.Type == "tmpfs" }

// enter makes the root this process' "/", and lets the machine's go.
func enter(c *Container) error {
	if err := unix.Fchdir(c.RootFD); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	if c.NoPivot {
		if err := moveRoot(); err != nil {
			return err
		}
	} else {
		if err := unix.PivotRoot(".", "."); err != nil {
			return fmt.Errorf("pivot_root: %w", err)
		}
		if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
			return fmt.Errorf("let the machine's root go: %w", err)
		}
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	unix.Close(c.RootFD)
	if c.ReadOnly {
		err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
		if err != nil {
			return fmt.Errorf("make root read-only: %w", err)
		}
	}
	if c.Propagation != 0 {
		if err := unix.Mount("", "/", "", uintptr(c.Propagation), ""); err != nil {
			return fmt.Errorf("rootfsPropagation: %w", err)
		}
	}
	if c.MountNS != 0 {
		return changeNamespace(c.MountNS)
	}
	return nil
}

// changeNamespace is for a container that is to be in the mount namespace of others: it takes a copy of the finished root
// there that nobody else sees and that goes when the container does, and leaves the namespace the root was built in, which
// so ends.
func changeNamespace(other int) error {
	root, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return fmt.Errorf("copy root: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // this program's threads have one root, and would keep it
		return fmt.Errorf("have a root of its own: %w", err)
	}
	if err := unix.Setns(other, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("join mount namespace: %w", err)
	}
	return changeRoot(root)
}

// changeRoot has a directory as root that no mount namespace has.
func changeRoot(dir int) error {
	if err := unix.Fchdir(dir); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return nil
}

// moveRoot is for a machine that runs from the kernel's first root, which cannot be pivoted. What else is mounted is
// unmounted, so that the way back is empty.
func moveRoot() error {
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return nil
}
