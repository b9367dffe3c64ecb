package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Reset kills what is in the group and below, and removes it and all below, in every hierarchy that the machine has
// mounted. It refuses the top, in which are all of the machine's processes.
func (g Group) Reset() error {
	if path.Clean("/"+string(g)) == "/" {
		return fmt.Errorf("reset of cgroup %q: the whole machine is in it", g)
	}
	dirs, err := g.Dirs()
	if err != nil {
		return err
	}
	failed := g.Kill()
	for _, dir := range dirs {
		failed = errors.Join(failed, thawAll(dir))
	}
	for _, dir := range dirs {
		failed = errors.Join(failed, removeTree(dir))
	}
	return failed
}

// below are a group's directory and those in it; those above come first.
func below(dir string) ([]string, error) {
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return nil // it may have gone meanwhile
	})
	return all, err
}

// thawAll lets those go on that were killed while they were frozen: version 1's freezer holds them.
func thawAll(dir string) error {
	all, err := below(dir)
	for _, dir := range all {
		thaw(dir)
	}
	return err
}

func thaw(dir string) {
	if f, err := os.OpenFile(filepath.Join(dir, "freezer.state"), os.O_WRONLY, 0); err == nil {
		_, _ = f.WriteString("THAWED")
		f.Close()
	}
}

// removeTree removes a group's directories, the deepest first: their files are the kernel's.
func removeTree(dir string) error {
	all, failed := below(dir)
	for _, dir := range slices.Backward(all) {
		if err := removeDir(dir); err != nil {
			failed = errors.Join(failed, fmt.Errorf("remove cgroup %s: %w", dir, err))
		}
	}
	return failed
}

// removeDir removes a group's directory. The kernel says that it is busy until its last process is reaped.
func removeDir(dir string) error {
	deadline := time.After(dying)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		select {
		case <-tick.C:
		case <-deadline:
			return err
		}
	}
}
