package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLocked: another process has the data open.
var ErrLocked = errors.New("another dhow server has it open")

// dataVersion is the layout of Dir. It changes when an older dhow could not read what a newer one wrote.
const dataVersion = "1"

// lockDir takes the lock that a process holds until it ends, however it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock store: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// checkVersion refuses data of another layout, and changes nothing.
func checkVersion(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "version"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open store: %w", err)
	}
	found := strings.TrimSpace(string(data)) // empty: new, or a crash between creating and writing it
	if found != "" && found != dataVersion {
		return fmt.Errorf("open store %s: its data has version %s, this dhow reads version %s: use the dhow that wrote it, or 'dhow reset' to start anew", dir, found, dataVersion)
	}
	return nil
}

// markVersion marks data with this layout. The caller has checked that it has no other.
func markVersion(dir string) error {
	path := filepath.Join(dir, "version")
	if data, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(data)) == dataVersion {
		return nil
	}
	if err := os.WriteFile(path, []byte(dataVersion+"\n"), 0o600); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	return nil
}
