package node

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// writeAtomically makes dir hold files, all at once, as users know it of Kubernetes: the files lie in a directory
// named after the time, "..data" is a link to it that is replaced in one step, and each top entry is a link through
// "..data". Nothing is written when nothing has changed.
func writeAtomically(dir string, files map[string]file, group int) error {
	if same(dir, files) {
		return nil
	}
	stamp := filepath.Join(dir, time.Now().UTC().Format("..2006_01_02_15_04_05.000000000"))
	if err := os.Mkdir(stamp, 0o755); err != nil {
		return err
	}
	for name, f := range files {
		if !filepath.IsLocal(name) {
			return errors.Join(fmt.Errorf("path %q leads out of the volume", name), os.RemoveAll(stamp))
		}
		if err := writeOne(filepath.Join(stamp, name), f, group); err != nil {
			return errors.Join(err, os.RemoveAll(stamp))
		}
	}
	old, _ := os.Readlink(filepath.Join(dir, "..data")) // none at first
	link := filepath.Join(dir, "..data_tmp")
	_ = os.Remove(link) // of a crash
	if err := os.Symlink(filepath.Base(stamp), link); err != nil {
		return err
	}
	if err := os.Rename(link, filepath.Join(dir, "..data")); err != nil {
		return err
	}
	if err := linkTops(dir, files); err != nil {
		return err
	}
	if old == "" {
		return nil
	}
	return os.RemoveAll(filepath.Join(dir, old))
}

func writeOne(path string, f file, group int) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, f.data, f.mode); err != nil {
		return err
	}
	mode, owner := f.mode, -1
	if f.owner != nil {
		owner = int(*f.owner)
	}
	if group >= 0 {
		mode |= 0o040
	}
	if err := os.Chown(path, owner, group); err != nil {
		return err
	}
	return os.Chmod(path, mode) // whatever the umask
}

// linkTops makes the links that users see, and removes those whose file is gone.
func linkTops(dir string, files map[string]file) error {
	tops := map[string]bool{}
	for name := range files {
		top, _, _ := strings.Cut(name, "/")
		tops[top] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..") && !tops[e.Name()] {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for top := range tops {
		err := os.Symlink(filepath.Join("..data", top), filepath.Join(dir, top))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// same says whether dir holds just these files.
func same(dir string, files map[string]file) bool {
	root := filepath.Join(dir, "..data")
	target, err := os.Readlink(root)
	if err != nil {
		return false
	}
	count := 0
	err = filepath.WalkDir(filepath.Join(dir, target), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		count++
		name, err := filepath.Rel(filepath.Join(dir, target), path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if want, ok := files[name]; !ok || !bytes.Equal(want.data, data) {
			return fs.ErrInvalid
		}
		return nil
	})
	return err == nil && count == len(files)
}
