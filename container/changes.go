package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"dhow/container/shim"
)

// The kinds of a Change, as docker writes them.
const (
	Added   = 'A'
	Changed = 'C'
	Deleted = 'D'
)

// Change is a difference between a container's root and its image.
type Change struct {
	Kind rune
	Path string // in the container
}

// Changes lists what the container has done to its root, by path. Mount points that were made for it do not count.
func (e *Engine) Changes(_ context.Context, id string) ([]Change, error) {
	c, err := e.container(id)
	if err != nil {
		return nil, err
	}
	var spec shim.Container
	if err := readJSON(c.dir+"/"+specFile, &spec); err != nil {
		return nil, err
	}
	if spec.Root.Upper == "" {
		return nil, fmt.Errorf("container %s: its root is a plain directory, which remembers no changes", id)
	}
	d := diff{root: spec.Root, made: map[string]bool{"/proc": true, "/dev": true, "/sys": true}}
	for _, m := range spec.Mounts {
		for at := filepath.Clean(m.Target); at != "/"; at = filepath.Dir(at) {
			d.made[at] = true
		}
	}
	if err := d.walk("/"); err != nil {
		return nil, fmt.Errorf("changes of container %s: %w", id, err)
	}
	slices.SortFunc(d.found, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return d.found, nil
}

// ChangesOf is Changes of a container that is not made now: its layers, topmost first, the writable one, and the targets
// of its mounts.
func ChangesOf(lower []string, upper string, mounts []string) ([]Change, error) {
	d := diff{root: shim.Root{Lower: lower, Upper: upper}, made: map[string]bool{"/proc": true, "/dev": true, "/sys": true, "/etc/resolv.conf": true}}
	for _, target := range mounts {
		for at := filepath.Clean(target); at != "/"; at = filepath.Dir(at) {
			d.made[at] = true
		}
	}
	if err := d.walk("/"); err != nil {
		return nil, fmt.Errorf("changes of a container: %w", err)
	}
	slices.SortFunc(d.found, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	return d.found, nil
}

// diff compares an overlay's writable layer with those below.
type diff struct {
	root  shim.Root
	made  map[string]bool // mount points and what is above them
	found []Change
}

// walk compares what is in a directory of the writable layer.
func (d *diff) walk(dir string) error {
	entries, err := os.ReadDir(d.root.Upper + dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := d.entry(filepath.Join(dir, entry.Name()), entry); err != nil {
			return err
		}
	}
	return nil
}

func (d *diff) entry(path string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	below := d.below(path)
	switch {
	case isWhiteout(d.root.Upper+path, info):
		if below != nil {
			d.add(Deleted, path)
		}
		return nil
	case below == nil || !info.IsDir() && d.made[path]:
		if !d.empty(path, info) {
			d.add(Added, path)
		}
	case !info.IsDir() || !below.IsDir():
		d.add(Changed, path)
	}
	if !info.IsDir() {
		return nil
	}
	before := len(d.found)
	if below != nil && below.IsDir() && isOpaque(d.root.Upper+path) {
		d.deleteBelow(path)
	}
	if err := d.walk(path); err != nil {
		return err
	}
	if below != nil && below.IsDir() && (len(d.found) > before || touched(info, below) && !d.made[path]) {
		d.add(Changed, path)
	}
	return nil
}

func (d *diff) add(kind rune, path string) { d.found = append(d.found, Change{kind, path}) }

// empty says whether a path is a mount point that was made for the container.
func (d *diff) empty(path string, info fs.FileInfo) bool {
	return d.made[path] && (info.IsDir() || info.Size() == 0)
}

// touched compares directories as docker does: that something in one has changed does not change it.
func touched(a, b fs.FileInfo) bool {
	return a.Mode() != b.Mode() || !a.ModTime().Equal(b.ModTime()) || owner(a) != owner(b)
}

func owner(info fs.FileInfo) [2]uint32 {
	if st, ok := sysStat(info); ok {
		return [2]uint32{st.Uid, st.Gid}
	}
	return [2]uint32{}
}

// below is what a path is in the layers below the writable one; nil if it is not there.
func (d *diff) below(path string) fs.FileInfo {
	for _, layer := range d.root.Lower {
		info, err := os.Lstat(layer + path)
		if err == nil {
			if isWhiteout(layer+path, info) {
				return nil
			}
			return info
		}
		for at := filepath.Dir(path); at != "/"; at = filepath.Dir(at) { // hidden by what is above it?
			if info, err := os.Lstat(layer + at); err == nil && (!info.IsDir() || isOpaque(layer+at)) {
				return nil
			}
		}
	}
	return nil
}

// deleteBelow adds what an opaque directory hides and does not have itself.
func (d *diff) deleteBelow(dir string) {
	seen := map[string]bool{}
	for _, layer := range d.root.Lower {
		entries, err := os.ReadDir(layer + dir)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			if _, err := os.Lstat(d.root.Upper + path); seen[path] || !errors.Is(err, fs.ErrNotExist) || d.below(path) == nil {
				continue
			}
			seen[path] = true
			d.add(Deleted, path)
		}
	}
}

// isWhiteout: overlayfs says that a name is gone by a character device 0:0, or by an attribute of an empty file.
func isWhiteout(path string, info fs.FileInfo) bool {
	st, ok := sysStat(info)
	if !ok {
		return false
	}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
		return true
	}
	return info.Mode().IsRegular() && info.Size() == 0 && hasAttribute(path, "trusted.overlay.whiteout")
}

func isOpaque(path string) bool {
	value := make([]byte, 1)
	n, err := unix.Lgetxattr(path, "trusted.overlay.opaque", value)
	return err == nil && strings.HasPrefix(string(value[:n]), "y")
}

func hasAttribute(path, name string) bool {
	_, err := unix.Lgetxattr(path, name, nil)
	return err == nil
}

func sysStat(info fs.FileInfo) (*syscall.Stat_t, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	return st, ok
}
