package containertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dhow/container"
)

// Player runs commands as ordinary processes of this machine, with nothing between them and it: for commands that a test
// has written itself. Their programs are busybox's.
func (b *Busybox) Player() Player { return b.play }

func (b *Busybox) play(p Process) (Play, error) {
	program, err := b.program(p.Command)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: program, Args: p.Command, Dir: p.Dir, Env: append([]string{"PATH=" + filepath.Join(b.lower, "bin")}, p.Env...)}
	h := &hostProcess{cmd: cmd}
	if p.TTY {
		return h, h.startOnTerminal(p)
	}
	return h, h.start(p)
}

func (b *Busybox) program(command []string) (string, error) {
	if len(command) == 0 {
		return "", errors.New("no command")
	}
	path := command[0]
	if !strings.Contains(path, "/") {
		path = filepath.Join(b.lower, "bin", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", &container.ExecError{Code: 127, Message: fmt.Sprintf("exec %s: not found", command[0])}
	}
	if info.Mode()&0o111 == 0 {
		return "", &container.ExecError{Code: 126, Message: fmt.Sprintf("exec %s: permission denied", command[0])}
	}
	return path, nil
}

// hostProcess leads a process group of its own.
type hostProcess struct {
	cmd      *exec.Cmd
	terminal *os.File // our end, if it has one
	output   sync.WaitGroup
}

func (h *hostProcess) start(p Process) error {
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	h.cmd.WaitDelay = time.Minute // grandchildren may keep the output open
	h.cmd.Stdout, h.cmd.Stderr = p.Stdout, p.Stderr
	var feed io.WriteCloser
	if p.Stdin != nil {
		var err error
		if feed, err = h.cmd.StdinPipe(); err != nil {
			return err
		}
	}
	if err := h.cmd.Start(); err != nil {
		return err
	}
	if feed != nil {
		go func() {
			_, _ = io.Copy(feed, p.Stdin)
			feed.Close()
		}()
	}
	return nil
}

func (h *hostProcess) startOnTerminal(p Process) error {
	ours, theirs, err := openTerminal()
	if err != nil {
		return err
	}
	defer theirs.Close()
	h.terminal = ours
	h.cmd.Stdin, h.cmd.Stdout, h.cmd.Stderr = theirs, theirs, theirs
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := h.cmd.Start(); err != nil {
		ours.Close()
		return err
	}
	h.output.Go(func() { _, _ = io.Copy(p.Stdout, ours) })
	if p.Stdin != nil {
		go func() { _, _ = io.Copy(ours, p.Stdin) }()
	}
	if p.Resize != nil {
		go h.follow(context.Background(), p.Resize)
	}
	return nil
}

// openTerminal makes a new one.
func openTerminal() (ours, theirs *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	ours = os.NewFile(uintptr(fd), "/dev/ptmx")
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		ours.Close()
	}
	return ours, theirs, err
}

// follow gives the terminal the sizes that come.
func (h *hostProcess) follow(ctx context.Context, sizes <-chan container.TerminalSize) {
	if h.terminal == nil {
		return
	}
	for {
		select {
		case size, open := <-sizes:
			if !open {
				return
			}
			conn, err := h.terminal.SyscallConn()
			if err != nil {
				return
			}
			_ = conn.Control(func(fd uintptr) {
				_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
			})
		case <-ctx.Done():
			return
		}
	}
}

// Wait implements Play.
func (h *hostProcess) Wait() int {
	_ = h.cmd.Wait()
	h.output.Wait()
	if h.terminal != nil {
		h.terminal.Close()
	}
	status, ok := h.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return h.cmd.ProcessState.ExitCode()
}

// Signal implements Play. All that the process has started is killed with it.
func (h *hostProcess) Signal(s syscall.Signal) {
	if s == unix.SIGKILL {
		_ = unix.Kill(-h.cmd.Process.Pid, s)
		return
	}
	_ = h.cmd.Process.Signal(s)
}
