package resolver

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// openIn is open in another network namespace. A thread that has been there is given up: goroutines would be somewhere
// else on it. The first one may not go anywhere, as who looks for the namespaces of this process finds its own.
func openIn(namespace *os.File, family, kind int) (fd int, err error) {
	if namespace == nil {
		return open(family, kind)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			fd, err = openIn(namespace, family, kind) // on another one, as this one is held
			return
		}
		if err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			fd, err = -1, fmt.Errorf("enter the network of the machine's servers: %w", err)
			return
		}
		fd, err = open(family, kind)
	}()
	<-done
	return fd, err
}
