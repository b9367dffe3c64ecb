package packed

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Place makes dir hold the program, executable by those who may enter dir, and returns its path:
//
//	dir/NAME-BOOT/FILE
//
// What is there since the same boot is used as it is: it got its name when it was whole. What an earlier boot left behind may
// have lost its end with the power (nothing waits for the disk here) and cannot be running: it is removed.
func (p *Program) Place(dir, boot, file string) (string, error) {
	own := p.Name() + "-" + boot
	path := filepath.Join(dir, own, file)
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && uint64(info.Size()) == p.Size {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Join(dir, own), 0o755); err != nil {
		return "", err
	}
	if err := p.write(filepath.Join(dir, own), path); err != nil {
		return "", fmt.Errorf("unpack the program: %w", err)
	}
	return path, removeOthers(dir, boot)
}

// write unpacks beside path and then gives it its name; whoever does so at the same time writes the same.
func (p *Program) write(dir, path string) error {
	f, err := os.CreateTemp(dir, ".tmp-")
	if err != nil {
		return err
	}
	err = errors.Join(p.unpack(f), f.Chmod(0o755), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
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

// Boot names this boot of the machine (random(4), boot_id): 8 hex digits.
func Boot() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	if len(id) < 8 {
		return "", fmt.Errorf("boot_id: %q", id)
	}
	return string(id[:8]), nil
}
