package shim

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// InGroups calls fork, which forks, so that the child is in control groups from its first moment. A process
// that joins groups by cgroup.procs waits for every processor to pass through the scheduler (10 ms and more,
// for a lock over all groups); a thread that moves itself in version 1 does not wait, and neither does
// clone3(CLONE_INTO_CGROUP) in version 2. So a thread moves, forks, and ends; it may change its namespaces, too. The
// group that fork is given is that of version 2, to be passed to clone3; nil if there is none.
func InGroups(dirs []string, fork func(group *os.File) error) error {
	return OnThread(func() error { return JoinGroups(dirs, fork) })
}

// OnThread calls a function on a thread that ends with it, so that it may change what threads have each of their own.
func OnThread(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() != unix.Getpid() {
			done <- do()
			return
		}
		// The first thread never ends. While it is held here, another takes the work.
		done <- OnThread(do)
		runtime.UnlockOSThread()
	}()
	return <-done
}

// JoinGroups is InGroups on the calling thread.
func JoinGroups(dirs []string, fork func(group *os.File) error) error {
	var group *os.File
	for _, dir := range dirs {
		err := moveThread(dir)
		if errors.Is(err, unix.ENOENT) { // version 2
			var fd int
			if fd, err = unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
				group = os.NewFile(uintptr(fd), dir)
				defer group.Close()
			}
		}
		if err != nil {
			return fmt.Errorf("join cgroup %s: %w", dir, err)
		}
	}
	return fork(group)
}

// moveThread moves the calling thread into a group of version 1.
func moveThread(dir string) error {
	fd, err := unix.Open(dir+"/tasks", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("0"))
	return err
}
