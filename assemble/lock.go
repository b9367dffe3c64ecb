//go:build !nocluster

package assemble

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"dhow/internal/filelock"
)

// ErrRunning: a server holds the lock of this root.
var ErrRunning = errors.New("another dhow server is running")

// takeLock takes the lock that a server holds as long as it lives.
func takeLock(path string) (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	release, err = filelock.Lock(path, filelock.Try)
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("%w on %s", ErrRunning, filepath.Dir(path))
	}
	return release, err
}
