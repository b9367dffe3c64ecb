// Package filelock locks files for processes and goroutines (flock(2)).
package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// retryLock is how often somebody who waits for a lock looks again: waiting in the kernel could not be given up.
const retryLock = 20 * time.Millisecond

// How a lock is taken.
type How int

const (
	Shared    How = unix.LOCK_SH                // waits for who has it alone
	Exclusive How = unix.LOCK_EX                // waits for all who have it
	Try       How = unix.LOCK_EX | unix.LOCK_NB // exclusive, or ErrHeld at once
)

// ErrHeld: somebody has the lock.
var ErrHeld error = unix.EWOULDBLOCK

// Lock takes a lock file's lock; the end of the process gives it back at the latest. A file that was removed meanwhile locks
// nothing, and is made again.
func Lock(path string, how How) (unlock func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		err = lockFile(f, how)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if still(f, path) {
			return func() { f.Close() }, nil
		}
		f.Close()
	}
}

func lockFile(f *os.File, how How) error {
	for {
		if err := unix.Flock(int(f.Fd()), int(how)); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// still tells whether a path is still the open file's.
func still(f *os.File, path string) bool {
	own, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(own, there)
}

// Wait waits for an exclusive lock until ctx ends; it calls waits once if it has to.
func Wait(ctx context.Context, path string, waits func()) (unlock func(), err error) {
	var tick *time.Ticker
	for {
		unlock, err := Lock(path, Try)
		if !errors.Is(err, ErrHeld) {
			return unlock, err
		}
		if tick == nil {
			tick = time.NewTicker(retryLock)
			defer tick.Stop()
			waits()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}
