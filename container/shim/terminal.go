package shim

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ttyGroup is the group of terminals (Debian's and everybody's "tty").
const ttyGroup = 5

// newDevpts makes a devpts of a container's own, not mounted anywhere yet; gid is the machine's number for its group 0.
func newDevpts(gid uint32) (*os.File, error) {
	fd, err := fsMount("devpts", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, "ptmxmode=0666", "mode=0620", fmt.Sprintf("gid=%d", gid+ttyGroup))
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "devpts"), nil
}

// openTerminal makes a new terminal on a devpts.
func openTerminal(pts *os.File) (master, slave *os.File, err error) {
	fd, err := unix.Openat(int(pts.Fd()), "ptmx", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open terminal: %w", err)
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		master.Close()
		return nil, nil, fmt.Errorf("unlock terminal: %w", err)
	}
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY)
	if errno != 0 {
		master.Close()
		return nil, nil, fmt.Errorf("open terminal: %w", errno)
	}
	return master, os.NewFile(peer, "tty"), nil
}

func resize(tty *os.File, width, height uint16) error {
	raw, err := tty.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height})
	})
	if err != nil {
		return err
	}
	return failed
}

// fsMount makes a file system (fsopen(2)) that is mounted nowhere. Options are "key=value" or "flag".
func fsMount(kind string, attributes int, options ...string) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open file system %s: %w", kind, err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "source", kind); err != nil { // what /proc/mounts shows
		return -1, fmt.Errorf("file system %s: %w", kind, err)
	}
	for _, option := range options {
		if err := setOption(fs, option); err != nil {
			return -1, fmt.Errorf("file system %s: option %s: %w", kind, option, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("make file system %s: %w", kind, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attributes)
	if err != nil {
		return -1, fmt.Errorf("mount file system %s: %w", kind, err)
	}
	return fd, nil
}

func setOption(fs int, option string) error {
	for i := range option {
		if option[i] == '=' {
			return unix.FsconfigSetString(fs, option[:i], option[i+1:])
		}
	}
	return unix.FsconfigSetFlag(fs, option)
}
