package inside

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"dhow/container/shim"
)

// links are those of /dev (runtime-spec, runtime-linux.md, "Dev symbolic links").
var links = []struct{ name, to string }{
	{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
}

// makeDevices fills /dev.
func makeDevices(c *Container) error {
	for i := range c.Devices {
		if err := makeDevice(c.RootFD, &c.Devices[i]); err != nil {
			return fmt.Errorf("device %s: %w", c.Devices[i].Path, err)
		}
	}
	dev, err := shim.MountPoint(c.RootFD, "/dev", true)
	if err != nil {
		return err
	}
	defer unix.Close(dev)
	for _, l := range links {
		if err := unix.Symlinkat(l.to, dev, l.name); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("link /dev/%s: %w", l.name, err)
		}
	}
	if err := unix.Unlinkat(dev, "ptmx", 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove /dev/ptmx: %w", err)
	}
	if err := unix.Symlinkat("pts/ptmx", dev, "ptmx"); err != nil {
		return fmt.Errorf("link /dev/ptmx: %w", err)
	}
	return nil
}

// makeDevice makes a node; where making nodes is forbidden, it mounts the machine's own.
func makeDevice(root int, d *Device) error {
	dir, base := path.Split(path.Clean("/" + d.Path))
	at, err := shim.MountPoint(root, dir, true)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	err = unix.Mknodat(at, base, d.Mode, int(d.Rdev))
	if errors.Is(err, unix.EEXIST) {
		if same(at, base, d) {
			return nil
		}
		if err = unix.Unlinkat(at, base, 0); err == nil {
			err = unix.Mknodat(at, base, d.Mode, int(d.Rdev))
		}
	}
	if errors.Is(err, unix.EPERM) {
		return bindDevice(root, d)
	}
	if err != nil {
		return err
	}
	return unix.Fchownat(at, base, int(d.UID), int(d.GID), unix.AT_SYMLINK_NOFOLLOW)
}

func same(dir int, name string, d *Device) bool {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode == d.Mode && st.Rdev == d.Rdev && st.Uid == d.UID && st.Gid == d.GID
}

func bindDevice(root int, d *Device) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, d.Path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != d.Mode&unix.S_IFMT || st.Rdev != d.Rdev {
		return errors.New("the machine's own, which a user namespace has to use, is another one")
	}
	at, err := shim.MountPoint(root, d.Path, false)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	return unix.MoveMount(fd, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}
