package inside

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"dhow/container/shim"
)

// openTerminal makes a terminal on the container's own devpts, sends its master to who asked for it, and makes it this
// process' standard streams. Where root is given, the terminal is the container's /dev/console, too.
func openTerminal(root int, p *Process, socket int) error {
	if socket == 0 {
		return errors.New("terminal: no console socket")
	}
	master, err := openMaster(root)
	if err != nil {
		return fmt.Errorf("open the container's /dev/ptmx: %w", err)
	}
	defer unix.Close(master)
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return fmt.Errorf("unlock terminal: %w", err)
	}
	peer, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY)
	if e != 0 {
		return fmt.Errorf("open terminal: %w", e)
	}
	slave := int(peer)
	defer unix.Close(slave)
	if p.Width > 0 && p.Height > 0 {
		if err := unix.IoctlSetWinsize(master, unix.TIOCSWINSZ, &unix.Winsize{Col: p.Width, Row: p.Height}); err != nil {
			return fmt.Errorf("consoleSize: %w", err)
		}
	}
	if root >= 0 {
		if err := mountConsole(root, master); err != nil {
			return fmt.Errorf("mount /dev/console: %w", err)
		}
	}
	if err := unix.Sendmsg(socket, []byte("/dev/ptmx"), unix.UnixRights(master), nil, 0); err != nil {
		return fmt.Errorf("send the terminal to the console socket: %w", err)
	}
	unix.Close(socket)
	return take(slave)
}

func openMaster(root int) (int, error) {
	const flags = unix.O_RDWR | unix.O_NOCTTY
	if root < 0 {
		return unix.Open("/dev/ptmx", flags|unix.O_CLOEXEC, 0)
	}
	return shim.InRoot(root, "/dev/pts/ptmx", flags)
}

func mountConsole(root, master int) error {
	number, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return err
	}
	terminal, err := shim.InRoot(root, fmt.Sprintf("/dev/pts/%d", number), unix.O_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(terminal)
	fd, err := unix.OpenTree(terminal, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	at, err := shim.MountPoint(root, "/dev/console", false)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	return unix.MoveMount(fd, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// take makes the terminal 0, 1 and 2, and the controlling one of this session.
func take(slave int) error {
	for fd := range 3 {
		if err := unix.Dup3(slave, fd, 0); err != nil {
			return fmt.Errorf("take the terminal: %w", err)
		}
	}
	if err := unix.IoctlSetInt(0, unix.TIOCSCTTY, 0); err != nil {
		return fmt.Errorf("take the terminal: %w", err)
	}
	return nil
}
