// Package perboot keeps files that are made once a boot of the machine, from something that is at hand always. Nobody
// waits for the disk: what an earlier boot left behind may have lost its end with the power, and is made again.
package perboot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// File is a file to be kept.
type File struct {
	// Dir is where all versions of the file are: Dir/Version-BOOT/Name.
	Dir, Version, Name string
	Mode               fs.FileMode
	// Size is how many bytes Write will write.
	Size int64
	// Write fills an empty file.
	Write func(*os.File) error
}

// Path makes the file, if this boot has not, and returns where it is. Versions of one boot live side by side: somebody may
// use them. Those of other boots are removed.
func (f File) Path() (string, error) {
	boot, err := boot()
	if err != nil {
		return "", err
	}
	return f.path(boot)
}

func (f File) path(boot string) (string, error) {
	dir := filepath.Join(f.Dir, f.Version+"-"+boot)
	path := filepath.Join(dir, f.Name)
	if info, err := os.Stat(path); err == nil && info.Mode() == f.Mode && info.Size() == f.Size {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := f.make(dir, path); err != nil {
		return "", err
	}
	return path, removeOthers(f.Dir, boot)
}

// make writes beside path and then gives it its name; whoever does so at the same time writes the same.
func (f File) make(dir, path string) error {
	tmp, err := os.CreateTemp(dir, ".tmp-")
	if err != nil {
		return err
	}
	err = errors.Join(f.Write(tmp), tmp.Chmod(f.Mode))
	if info, statErr := tmp.Stat(); err == nil && statErr == nil && info.Size() != f.Size {
		err = fmt.Errorf("%s: %d bytes in place of %d", path, info.Size(), f.Size)
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(tmp.Name()))
	}
	return err
}

func removeOthers(dir, boot string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "-"+boot) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// boot names this boot of the machine (random(4), boot_id): 8 hex digits.
func boot() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	if len(id) < 8 {
		return "", fmt.Errorf("boot_id: %q", id)
	}
	return string(id[:8]), nil
}
