package shim

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// mountSystem mounts what every container has: /proc, /dev with its own devpts, shm and mqueue, /sys with the
// container's own cgroups.
func mountSystem(root int, c *Container) error {
	proc, err := fsMount("proc", nothingSpecial)
	if err != nil {
		return err
	}
	if err := attachSystem(root, proc, "/proc"); err != nil {
		return err
	}
	if err := mountDev(root, c); err != nil {
		return err
	}
	return mountSys(root, c.SysWritable)
}

func mountDev(root int, c *Container) error {
	dev, err := fsMount("tmpfs", unix.MOUNT_ATTR_NOSUID, "mode=755", "size=65536k")
	if err != nil {
		return err
	}
	if err := attachSystem(root, dev, "/dev"); err != nil {
		return err
	}
	at, err := inRoot(root, "/dev", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	if err := fillDev(root, at, c); err != nil {
		return err
	}
	for name, link := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
	} {
		if err := unix.Symlinkat(link, at, name); err != nil {
			return fmt.Errorf("link /dev/%s: %w", name, err)
		}
	}
	return nil
}

func fillDev(root, dev int, c *Container) error {
	if err := makeDevices(root, dev, c.Devices); err != nil {
		return err
	}
	if err := attach(root, ptsFD, "/dev/pts", true); err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	if err := smallMounts(root, c); err != nil {
		return err
	}
	if !c.Process.TTY {
		return nil
	}
	console, err := unix.OpenTree(root, "dev/pts/0", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open /dev/console: %w", err)
	}
	return attach(root, console, "/dev/console", false)
}

// smallMounts are /dev/shm, unless the container mounts one of its own, and /dev/mqueue.
func smallMounts(root int, c *Container) error {
	for _, m := range c.Mounts {
		if path.Clean(m.Target) == "/dev/shm" {
			return mountNew(root, "mqueue", "/dev/mqueue")
		}
	}
	size := c.ShmSize
	if size == 0 {
		size = 64 << 20
	}
	if err := mountNew(root, "tmpfs", "/dev/shm", "mode=1777", fmt.Sprintf("size=%d", size)); err != nil {
		return err
	}
	return mountNew(root, "mqueue", "/dev/mqueue")
}

func mountNew(root int, kind, name string, options ...string) error {
	fd, err := fsMount(kind, nothingSpecial, options...)
	if errors.Is(err, unix.ENODEV) {
		return nil // a kernel without it
	}
	if err != nil {
		return err
	}
	if err := attach(root, fd, name, true); err != nil {
		return fmt.Errorf("mount %s: %w", name, err)
	}
	return nil
}

func mountSys(root int, writable bool) error {
	attributes := nothingSpecial
	if !writable {
		attributes |= unix.MOUNT_ATTR_RDONLY
	}
	sys, err := fsMount("sysfs", attributes)
	if errors.Is(err, unix.EPERM) {
		// In the host's network namespace only a bind of the host's own is allowed.
		sys, err = unix.OpenTree(unix.AT_FDCWD, "/sys", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	}
	if err != nil {
		return err
	}
	if err := attachSystem(root, sys, "/sys"); err != nil {
		return err
	}
	return mountCgroups(root, attributes)
}

// mountCgroups shows the container its own cgroups: version 2 as a whole, or each hierarchy of version 1.
func mountCgroups(root, attributes int) error {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	var hierarchies []string // controllers of each, as in "cpu,cpuacct"
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && parts[1] != "" {
			hierarchies = append(hierarchies, parts[1])
		}
	}
	if len(hierarchies) == 0 {
		fd, err := fsMount("cgroup2", attributes)
		if err != nil {
			return err
		}
		return attach(root, fd, "/sys/fs/cgroup", true)
	}
	return mountHierarchies(root, attributes, hierarchies)
}

func mountHierarchies(root, attributes int, hierarchies []string) error {
	base, err := fsMount("tmpfs", nothingSpecial, "mode=755")
	if err != nil {
		return err
	}
	if err := attach(root, base, "/sys/fs/cgroup", true); err != nil {
		return fmt.Errorf("mount /sys/fs/cgroup: %w", err)
	}
	for _, h := range hierarchies {
		name := strings.TrimPrefix(h, "name=")
		options := strings.Split(h, ",")
		if name != h {
			options = []string{"none", h}
		}
		fd, err := fsMount("cgroup", attributes, options...)
		if err != nil {
			continue // not to be had in a cgroup namespace on this kernel; the container does without
		}
		if err := attach(root, fd, "/sys/fs/cgroup/"+name, true); err != nil {
			return fmt.Errorf("mount cgroup %s: %w", name, err)
		}
	}
	return nil
}
