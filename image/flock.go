package image

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

// flock takes a lock file's lock, by LOCK_SH, LOCK_EX and LOCK_NB.
func flock(path string, how int) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock image store: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock image store: %w", err)
	}
	return func() { f.Close() }, nil
}

// waitLock waits for an exclusive lock until ctx ends; it calls waits once if it has to.
func waitLock(ctx context.Context, path string, waits func()) (unlock func(), err error) {
	var tick *time.Ticker
	for {
		unlock, err := flock(path, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
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
