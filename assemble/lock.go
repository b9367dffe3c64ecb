//go:build !nocluster

package assemble

import (
	"dhow/internal/filelock"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrRunning: a server holds the lock of this root.
var ErrRunning = errors.New("another dhow server is running")

// takeLock takes the lock that a server holds as long as it lives.
func takeLock(path string) (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	release, err = filelock.Lock(path, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w on %s", ErrRunning, filepath.Dir(path))
	}
	return release, err
}
