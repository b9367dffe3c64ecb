package shim

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// standard are the devices that every container has, with the minor numbers that they have in the class of major 1
// (runtime-spec, config-linux.md, "Default Devices"), and the terminal.
var standard = []struct {
	name         string
	major, minor uint32
}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}

// makeDevices fills /dev, which is open at dev.
func makeDevices(root, dev int, more []Device) error {
	for _, d := range standard {
		err := unix.Mknodat(dev, d.name, unix.S_IFCHR|0o666, int(unix.Mkdev(d.major, d.minor)))
		if errors.Is(err, unix.EPERM) {
			err = bindDevice(root, Device{Source: "/dev/" + d.name, Target: "/dev/" + d.name})
		}
		if err != nil {
			return fmt.Errorf("make /dev/%s: %w", d.name, err)
		}
	}
	for _, d := range more {
		if err := makeDevice(root, d); err != nil {
			return fmt.Errorf("device %s: %w", d.Target, err)
		}
	}
	return nil
}

// makeDevice makes a node like the host's in /dev; elsewhere, or where making nodes is forbidden, it mounts the
// host's own.
func makeDevice(root int, d Device) error {
	name := path.Clean(d.Target)
	if !strings.HasPrefix(name, "/dev/") {
		return bindDevice(root, d)
	}
	var st unix.Stat_t
	if err := unix.Stat(d.Source, &st); err != nil {
		return err
	}
	if !isDevice(&st) {
		return notADevice(d.Source)
	}
	parent, base := path.Split(name)
	at, err := target(root, parent, true)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	_ = unix.Unlinkat(at, base, 0) // one of the standard ones
	err = unix.Mknodat(at, base, st.Mode, int(st.Rdev))
	if errors.Is(err, unix.EPERM) {
		return bindDevice(root, d)
	}
	if err != nil {
		return err
	}
	return unix.Fchownat(at, base, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
}

func bindDevice(root int, d Device) error {
	fd, err := hostDevice(d.Source)
	if err != nil {
		return err
	}
	return attach(root, fd, d.Target, false)
}

// hostDevice opens a device node of the host for mounting, and makes sure that it is one.
func hostDevice(name string) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, name, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, err
	}
	if !isDevice(&st) {
		unix.Close(fd)
		return -1, notADevice(name)
	}
	return fd, nil
}

func isDevice(st *unix.Stat_t) bool {
	kind := st.Mode & unix.S_IFMT
	return kind == unix.S_IFCHR || kind == unix.S_IFBLK
}

func notADevice(name string) error {
	return &os.PathError{Op: "open device", Path: name, Err: errors.New("not a device")}
}
