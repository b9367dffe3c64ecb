// Package atomicfile writes small files whole or not at all: a crash leaves the old file or the new one.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Write makes path hold data, mode 0600, or leaves it as it was. When it returns nil, the file is on disk.
func Write(path string, data []byte) error {
	if err := WriteBy(filepath.Dir(path), path, data); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// WriteBy is Write by way of a folder of the same file system, in which a crash may leave a file ".tmp-…" for somebody to clear
// away. The file's content is on disk, its name perhaps later: a loss of power may leave the old file.
func WriteBy(folder, path string, data []byte) error {
	f, err := os.CreateTemp(folder, ".tmp-") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// SyncDir makes the names in a directory last.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
