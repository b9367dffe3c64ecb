package inside

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"dhow/container/shim"
)

// procfd is a path of an open file, for system calls that take no descriptors. The machine's /proc is still there.
func procfd(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

func mountOne(c *Container, m *Mount) error {
	switch {
	case m.FD != 0:
		return mountBind(c.RootFD, m)
	case m.Type == "cgroup" || m.Type == "cgroup2":
		return mountCgroups(c, m)
	case m.Type == "proc" || m.Type == "sysfs":
		return mountSystem(c.RootFD, m)
	default:
		return mountFS(c.RootFD, m)
	}
}

// mountBind attaches what the runtime has opened.
func mountBind(root int, m *Mount) error {
	var st unix.Stat_t
	if err := unix.Fstat(m.FD, &st); err != nil {
		return err
	}
	defer unix.Close(m.FD)
	at, err := shim.MountPoint(root, m.Target, st.Mode&unix.S_IFMT == unix.S_IFDIR)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	if err := shim.GuardProc(at, m.FD, m.Target); err != nil {
		return err
	}
	err = unix.MoveMount(m.FD, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if err != nil {
		return err
	}
	return propagate(root, m)
}

// mountSystem mounts on a directory that is no link: a link would let the image choose where what protects the
// machine goes (CVE-2019-19921).
func mountSystem(root int, m *Mount) error {
	fd, err := shim.MountPoint(root, m.Target, true)
	if err != nil {
		return err
	}
	unix.Close(fd)
	name := strings.TrimLeft(path.Clean("/"+m.Target), "/")
	at, err := unix.Openat2(root, name, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC | unix.O_DIRECTORY, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS,
	})
	if errors.Is(err, unix.ELOOP) {
		return fmt.Errorf("filesystem %q must be mounted on ordinary directory", m.Type)
	}
	if err != nil {
		return err
	}
	defer unix.Close(at)
	err = unix.Mount(m.Source, procfd(at), m.Type, m.Flags, m.Data)
	if err != nil {
		return err
	}
	return propagate(root, m)
}

// mountFS mounts a new file system.
func mountFS(root int, m *Mount) error {
	at, err := shim.MountPoint(root, m.Target, true)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	if err := shim.GuardProc(at, -1, m.Target); err != nil {
		return err
	}
	old := -1
	if m.CopyUp {
		if old, err = shim.InRoot(root, m.Target, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
			return err
		}
		defer unix.Close(old)
	}
	flags, data := m.Flags, m.Data
	if later(m) {
		flags &^= unix.MS_RDONLY
		data = withMode(at, data)
	}
	if err := unix.Mount(m.Source, procfd(at), m.Type, flags, data); err != nil {
		return err
	}
	if old >= 0 {
		if err := copyUp(root, old, m.Target); err != nil {
			return fmt.Errorf("tmpcopyup: %w", err)
		}
	}
	return propagate(root, m)
}

// withMode gives a tmpfs the mode of the directory that it hides, unless one is asked for.
func withMode(at int, data string) string {
	var st unix.Stat_t
	if strings.Contains(data, "mode=") || unix.Fstat(at, &st) != nil {
		return data
	}
	mode := fmt.Sprintf("mode=%o", st.Mode&0o7777)
	if data == "" {
		return mode
	}
	return data + "," + mode
}

func copyUp(root, from int, target string) error {
	to, err := shim.InRoot(root, target, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(to)
	return shim.CopyDirectory(from, to)
}

// propagate does what is asked for once the mount is in its place.
func propagate(root int, m *Mount) error {
	if len(m.Propagation) == 0 && (m.FD != 0 || m.Set|m.Clear == 0) {
		return nil
	}
	fd, err := shim.InRoot(root, m.Target, unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, flag := range m.Propagation {
		if err := unix.Mount("", procfd(fd), "", flag, ""); err != nil {
			return fmt.Errorf("set propagation: %w", err)
		}
	}
	if m.FD != 0 || m.Set|m.Clear == 0 {
		return nil
	}
	return unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: m.Set, Attr_clr: m.Clear})
}

func setAttributes(root int, name string, flags uint, attr *unix.MountAttr) error {
	fd, err := shim.InRoot(root, name, unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|flags, attr)
}

// mountCgroups shows the container its own groups: version 2 as a whole, or each hierarchy of version 1 in a tmpfs.
func mountCgroups(c *Container, m *Mount) error {
	if c.Cgroup2 || m.Type == "cgroup2" {
		return mountCgroup2(c, m)
	}
	own := readHierarchies()
	base := &Mount{Target: m.Target, Type: "tmpfs", Source: "tmpfs", Flags: m.Flags &^ (unix.MS_RDONLY | unix.MS_BIND | unix.MS_REC), Data: "mode=755"}
	if err := mountFS(c.RootFD, base); err != nil {
		return err
	}
	for _, h := range own {
		target := path.Join(m.Target, h.dir)
		if err := mountHierarchy(c, m, h, target); err != nil {
			return fmt.Errorf("hierarchy %s: %w", h.dir, err)
		}
		if err := linkControllers(c.RootFD, m.Target, h); err != nil {
			return err
		}
	}
	if m.Flags&unix.MS_RDONLY != 0 {
		if err := setAttributes(c.RootFD, m.Target, 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
			return err
		}
	}
	return propagate(c.RootFD, &Mount{Target: m.Target, Type: "tmpfs", Propagation: m.Propagation})
}

// hierarchy is one of cgroup version 1, with this process' group in it, as the machine has it mounted.
type hierarchy struct {
	dir     string // the name of its mount point
	options string
	group   string
	mounted string
}

func readHierarchies() []hierarchy {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	var all []hierarchy
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || parts[1] == "" {
			continue
		}
		h := hierarchy{dir: strings.TrimPrefix(parts[1], "name="), options: parts[1], group: parts[2]}
		if h.dir != h.options {
			h.options = "none," + h.options
		}
		if h.mounted = mountedAt(string(mounts), parts[1]); h.mounted != "" {
			h.dir = path.Base(h.mounted)
			all = append(all, h)
		}
	}
	return all
}

// mountedAt finds where a hierarchy is mounted (proc_pid_mountinfo(5): the fifth field, and options after " - ").
func mountedAt(mounts, controllers string) string {
	first, _, _ := strings.Cut(controllers, ",")
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(strings.TrimSpace(line), " - cgroup ")
		fields, options := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(options) < 2 {
			continue
		}
		for option := range strings.SplitSeq(options[len(options)-1], ",") {
			if option == first {
				return fields[4]
			}
		}
	}
	return ""
}

// mountHierarchy mounts one anew in the container's cgroup namespace, or binds the container's group.
func mountHierarchy(c *Container, m *Mount, h hierarchy, target string) error {
	at, err := shim.MountPoint(c.RootFD, target, true)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	flags := m.Flags &^ (unix.MS_BIND | unix.MS_REC)
	if c.NewCgroup {
		return unix.Mount("cgroup", procfd(at), "cgroup", flags, h.options)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, path.Join(h.mounted, h.group), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return attachGroup(fd, at, flags)
}

func attachGroup(fd, at int, flags uintptr) error {
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC}
	if flags&unix.MS_RDONLY != 0 {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, attr); err != nil {
		return err
	}
	return unix.MoveMount(fd, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// linkControllers names each controller of a hierarchy that has several.
func linkControllers(root int, target string, h hierarchy) error {
	if !strings.Contains(h.options, ",") || strings.HasPrefix(h.options, "none,") {
		return nil
	}
	dir, err := shim.InRoot(root, target, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	for name := range strings.SplitSeq(h.options, ",") {
		if err := unix.Symlinkat(h.dir, dir, name); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	return nil
}

func mountCgroup2(c *Container, m *Mount) error {
	at, err := shim.MountPoint(c.RootFD, m.Target, true)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	flags := m.Flags &^ (unix.MS_BIND | unix.MS_REC)
	err = unix.Mount(m.Source, procfd(at), "cgroup2", flags, m.Data)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EBUSY) { // in a user namespace without a cgroup namespace of its own
		var fd int
		fd, err = unix.OpenTree(unix.AT_FDCWD, path.Join("/sys/fs/cgroup", ownGroup2()), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err == nil {
			err = attachGroup(fd, at, flags)
			unix.Close(fd)
		}
	}
	if err != nil {
		return err
	}
	return propagate(c.RootFD, m)
}

func ownGroup2() string {
	data, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(data)) {
		if group, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(group)
		}
	}
	return "/"
}
