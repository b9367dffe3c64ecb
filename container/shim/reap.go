package shim

import (
	"errors"

	"golang.org/x/sys/unix"
)

// reap waits for every child: containers, commands, and orphans, which become the shim's.
func (s *server) reap() {
	for {
		err := waitAny()
		if errors.Is(err, unix.ECHILD) {
			<-s.forked // orphans come from children only
			continue
		}
		for s.reapOne() {
		}
	}
}

// waitAny blocks until a child has ended, and leaves it to be reaped.
func waitAny() error {
	for {
		_, _, errno := unix.Syscall6(unix.SYS_WAITID, unix.P_ALL, 0, 0, unix.WEXITED|unix.WNOWAIT, 0, 0)
		if errno == 0 {
			return nil
		}
		if errno != unix.EINTR {
			return errno
		}
	}
}

func (s *server) reapOne() bool {
	// The lock keeps a child from being reaped before fork has put it down.
	s.mu.Lock()
	var status unix.WaitStatus
	pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
	for errors.Is(err, unix.EINTR) {
		pid, err = unix.Wait4(-1, &status, unix.WNOHANG, nil)
	}
	if err != nil || pid <= 0 {
		s.mu.Unlock()
		return false
	}
	done := s.children[pid]
	delete(s.children, pid)
	s.mu.Unlock()
	if done != nil {
		go done(status)
	}
	return true
}

// code is the exit code that shells give a status: 128 + n for signal n.
func code(status unix.WaitStatus) (code, sig int) {
	if status.Signaled() {
		return 128 + int(status.Signal()), int(status.Signal())
	}
	return status.ExitStatus(), 0
}
