package oci

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Foreground is a command that this process waits for: signals are passed on to it, and its terminal is copied.
type Foreground struct {
	// Console is for Create or Exec, where the command has a terminal.
	Console *os.File

	peer    *os.File // of Console
	signals chan os.Signal
	std     [3]*os.File
	master  *os.File
	old     *term.State
	drained chan struct{}
}

// passed are the signals that the command gets in this process' place. All there are would cost a millisecond to have.
var passed = []os.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGABRT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGTERM, unix.SIGCONT, unix.SIGTSTP,
	unix.SIGTTIN, unix.SIGTTOU, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM, unix.SIGPROF, unix.SIGWINCH, unix.SIGIO, unix.SIGPWR, unix.Signal(37),
}

// NewForeground begins to catch signals. Close it.
func NewForeground(terminal bool, std [3]*os.File) (*Foreground, error) {
	f := &Foreground{signals: make(chan os.Signal, 64), std: std}
	signal.Notify(f.signals, passed...)
	if !terminal {
		return f, nil
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f.Console, f.peer = os.NewFile(uintptr(pair[0]), "console"), os.NewFile(uintptr(pair[1]), "console")
	return f, nil
}

// Attach receives the terminal and begins to copy it.
func (f *Foreground) Attach() error {
	if f.Console == nil {
		return nil
	}
	f.Console.Close()
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(f.peer.Fd()), make([]byte, 64), control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return fmt.Errorf("receive terminal: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return errors.New("receive terminal: none came")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return errors.New("receive terminal: none came")
	}
	_ = unix.SetNonblock(fds[0], true) // so that reading it can be ended
	f.master = os.NewFile(uintptr(fds[0]), "terminal")
	if term.IsTerminal(int(f.std[0].Fd())) {
		if f.old, err = term.MakeRaw(int(f.std[0].Fd())); err != nil {
			return err
		}
		f.resize()
	}
	f.drained = make(chan struct{})
	go func() { _, _ = io.Copy(f.master, f.std[0]) }()
	go func() {
		defer close(f.drained)
		_, _ = io.Copy(f.std[1], f.master)
	}()
	return nil
}

func (f *Foreground) resize() {
	size, err := unix.IoctlGetWinsize(int(f.std[0].Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return
	}
	raw, err := f.master.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, size) })
}

// Wait is the command's exit code; 128 and the signal's number if one killed it.
func (f *Foreground) Wait(pid int) int {
	ended := make(chan unix.WaitStatus, 1)
	go func() {
		var status unix.WaitStatus
		for {
			if _, err := unix.Wait4(pid, &status, 0, nil); !errors.Is(err, unix.EINTR) {
				break
			}
		}
		ended <- status
	}()
	for {
		select {
		case s := <-f.signals:
			f.pass(pid, s)
		case status := <-ended:
			if f.drained != nil {
				<-f.drained
			}
			if status.Signaled() {
				return 128 + int(status.Signal())
			}
			return status.ExitStatus()
		}
	}
}

func (f *Foreground) pass(pid int, s os.Signal) {
	switch s {
	case unix.SIGWINCH:
		if f.master != nil {
			f.resize()
			return
		}
		_ = unix.Kill(pid, unix.SIGWINCH)
	default:
		if sig, ok := s.(unix.Signal); ok {
			_ = unix.Kill(pid, sig)
		}
	}
}

// Close gives the terminal back.
func (f *Foreground) Close() {
	signal.Stop(f.signals)
	if f.old != nil {
		_ = term.Restore(int(f.std[0].Fd()), f.old)
	}
	for _, file := range []*os.File{f.Console, f.peer, f.master} {
		if file != nil {
			file.Close()
		}
	}
}
