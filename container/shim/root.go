package shim

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// What hides in most mounts of a container's own.
const nothingSpecial = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NODEV

// buildRoot makes the root directory with all its mounts, and makes it this process's "/". It runs in a mount
// namespace of its own, so that nothing of it ever shows on the host. The shim has opened what is of the host.
func buildRoot(c *Container) error {
	// What the host mounts later may come in (for volumes that ask for it), nothing goes out.
	err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Propagation: unix.MS_SLAVE})
	if err != nil {
		return fmt.Errorf("make mounts slaves: %w", err)
	}
	root := rootFD
	// Mounted over the host's it can have mounts itself, and paths still start at the host's.
	if err := unix.MoveMount(root, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount root: %w", err)
	}
	if err := mountSystem(root, c); err != nil {
		return err
	}
	bind := bindFD
	for _, m := range c.Mounts {
		at := -1
		if m.Source != "" {
			at = bind
			bind++
		}
		if err := mountOne(root, m, at); err != nil {
			return fmt.Errorf("mount on %s: %w", m.Target, err)
		}
	}
	if err := protect(root, c.Masked, c.ReadOnly); err != nil {
		return err
	}
	if err := hooksInside(c, "createContainer"); err != nil {
		return err
	}
	if err := enter(root); err != nil {
		return err
	}
	for _, fd := range []int{holdFD, rootFD} { // nothing is left that a path could lead to
		unix.Close(fd)
	}
	if !c.Root.ReadOnly {
		return nil
	}
	err = unix.MountSetattr(unix.AT_FDCWD, "/", 0, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if err != nil {
		return fmt.Errorf("make root read-only: %w", err)
	}
	return nil
}

// enter makes the mount at fd the root, and lets the host's go.
func enter(root int) error {
	if err := unix.Fchdir(root); err != nil {
		return fmt.Errorf("enter root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("let the host's root go: %w", err)
	}
	return unix.Chdir("/")
}

// inRoot opens a path as it is for a process whose root is fd: links and ".." stay inside.
func inRoot(root int, name string, flags int) (int, error) {
	name = strings.TrimLeft(path.Clean("/"+name), "/")
	if name == "" {
		name = "."
	}
	return unix.Openat2(root, name, &unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// target opens a mount point, and makes it when it is not there: a directory or an empty file.
func target(root int, name string, directory bool) (int, error) {
	return targetThrough(root, name, directory, 40) // as many links as the kernel follows
}

func targetThrough(root int, name string, directory bool, links int) (int, error) {
	fd, err := inRoot(root, name, unix.O_PATH)
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	parentName, base := path.Split(path.Clean("/" + name))
	parent, err := targetThrough(root, parentName, true, links)
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	if directory {
		err = unix.Mkdirat(parent, base, 0o755)
	} else {
		err = unix.Mknodat(parent, base, unix.S_IFREG|0o644, 0)
	}
	if errors.Is(err, unix.EEXIST) && links > 0 {
		link, err := readLink(parent, base)
		if err != nil {
			return -1, fmt.Errorf("make mount point %s: %w", name, err)
		}
		if !path.IsAbs(link) {
			link = path.Join(parentName, link)
		}
		return targetThrough(root, link, directory, links-1)
	}
	if err != nil {
		return -1, fmt.Errorf("make mount point %s: %w", name, err)
	}
	return inRoot(root, name, unix.O_PATH)
}

// readLink reads a link whose target is missing.
func readLink(dir int, name string) (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buffer)
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}

// attachSystem mounts on a directory of the root's own top. A link there would let the image choose where what
// protects the host goes (CVE-2019-19921).
func attachSystem(root, mount int, name string) error {
	base := strings.TrimPrefix(name, "/")
	if err := unix.Mkdirat(root, base, 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
		unix.Close(mount)
		return fmt.Errorf("mount %s: %w", name, err)
	}
	var st unix.Stat_t
	err := unix.Fstatat(root, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		err = errors.New("in the image it is not a directory")
	}
	if err == nil {
		err = unix.MoveMount(mount, "", root, base, unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	unix.Close(mount)
	if err != nil {
		return fmt.Errorf("mount %s: %w", name, err)
	}
	return nil
}

// attach mounts a detached mount on a path in the root.
func attach(root, mount int, name string, directory bool) error {
	defer unix.Close(mount)
	at, err := target(root, name, directory)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	if err := guardProc(at, mount, name); err != nil {
		return err
	}
	return unix.MoveMount(mount, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

func mountOne(root int, m Mount, bind int) error {
	if m.Source == "" {
		fd, err := fsMount(m.Type, m.Attributes, m.Options...)
		if err != nil {
			return err
		}
		return attach(root, fd, m.Target, true)
	}
	var st unix.Stat_t
	if err := unix.Fstat(bind, &st); err != nil {
		return err
	}
	if m.CopyUp && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		if err := copyUp(root, m.Target, bind); err != nil {
			return err
		}
	}
	if err := restrict(bind, m); err != nil {
		return err
	}
	return attach(root, bind, m.Target, st.Mode&unix.S_IFMT == unix.S_IFDIR)
}

// protect masks paths and makes others read-only; those that are not there need neither.
func protect(root int, masked, readOnly []string) error {
	for _, name := range readOnly {
		if err := makeReadOnly(root, name); err != nil {
			return fmt.Errorf("make %s read-only: %w", name, err)
		}
	}
	empty := -1
	for _, name := range masked {
		fd, err := maskPath(root, name, empty)
		if err != nil {
			return fmt.Errorf("mask %s: %w", name, err)
		}
		if empty < 0 && fd >= 0 {
			empty = fd
			defer unix.Close(empty)
		}
	}
	return nil
}

func makeReadOnly(root int, name string) error {
	at, err := inRoot(root, name, unix.O_PATH)
	if err != nil {
		return ignoreMissing(err)
	}
	defer unix.Close(at)
	fd, err := unix.OpenTree(at, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if err != nil {
		return err
	}
	return unix.MoveMount(fd, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// maskPath covers a directory by an empty one and a file by a null device made for this purpose, never by a path
// that the image controls (CVE-2025-31133). The empty directory is mounted where it is needed first, and returned for copies: of a
// mount that is mounted nowhere there are none before Linux 6.15.
func maskPath(root int, name string, empty int) (made int, err error) {
	at, err := inRoot(root, name, unix.O_PATH)
	if err != nil {
		return -1, ignoreMissing(err)
	}
	defer unix.Close(at)
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return -1, err
	}
	made = -1
	var fd int
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		fd, err = hostDevice("/dev/null")
	case empty >= 0:
		fd, err = unix.OpenTree(empty, "", cloneTree|unix.AT_EMPTY_PATH)
	default:
		fd, err = fsMount("tmpfs", nothingSpecial|unix.MOUNT_ATTR_RDONLY, "size=0", "mode=555")
		made = fd
	}
	if err != nil {
		return -1, err
	}
	if made < 0 {
		defer unix.Close(fd)
	}
	return made, unix.MoveMount(fd, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

func ignoreMissing(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	return err
}
