package shim

import (
	"errors"
	"os"
	"syscall"

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

// fork runs this binary in one of its parts, and calls done when it has ended. The child has no other
// descriptors than files.
func (s *server) fork(part string, files []*os.File, attr *syscall.SysProcAttr, done func(unix.WaitStatus)) (int, error) {
	fds := make([]uintptr, len(files))
	for i, f := range files {
		fds[i] = f.Fd()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	pid, err := syscall.ForkExec("/proc/self/exe", []string{part}, &syscall.ProcAttr{
		Files: fds, Sys: attr, Env: []string{"GOMAXPROCS=1", "GOGC=off"},
	})
	if err != nil {
		return 0, err
	}
	s.children[pid] = done
	select {
	case s.forked <- struct{}{}:
	default:
	}
	return pid, nil
}

// code is the exit code that shells give a status: 128 + n for signal n.
func code(status unix.WaitStatus) (code, sig int) {
	if status.Signaled() {
		return 128 + int(status.Signal()), int(status.Signal())
	}
	return status.ExitStatus(), 0
}
