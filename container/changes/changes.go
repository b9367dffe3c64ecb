// Package changes tells what a container has done to its root, by the layers of its overlay. It mounts nothing.
package changes

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
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

// Of compares a writable layer with those below it, topmost first. It returns what differs, by path; the targets of
// mounts, and what was made above them, do not count.
func Of(lower []string, upper string, mounts []string) ([]Change, error) {
	root, err := os.OpenRoot(upper)
	if err != nil {
		return nil, fmt.Errorf("changes of a container: %w", err)
	}
	defer root.Close()
	d := diff{lower: lower, upper: root, made: map[string]bool{"/proc": true, "/dev": true, "/sys": true}}
	for _, target := range mounts {
		for at := path.Clean("/" + target); at != "/"; at = path.Dir(at) {
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
	lower []string
	upper *os.Root
	made  map[string]bool // mount points and what is above them
	found []Change
}

// walk compares what is in a directory of the writable layer, which may change meanwhile.
func (d *diff) walk(dir string) error {
	f, err := d.upper.Open(inside(dir))
	if err != nil {
		return gone(err)
	}
	entries, err := f.ReadDir(-1)
	f.Close()
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := d.entry(path.Join(dir, entry.Name())); err != nil {
			return gone(err)
		}
	}
	return nil
}

func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// inside is a path as os.Root takes it.
func inside(name string) string { return cmp.Or(strings.TrimPrefix(name, "/"), ".") }

func (d *diff) entry(name string) error {
	info, err := d.upper.Lstat(inside(name))
	if err != nil {
		return err
	}
	at := path.Join(d.upper.Name(), name)
	below := d.below(name)
	switch {
	case isWhiteout(at, info):
		if below != nil {
			d.add(Deleted, name)
		}
		return nil
	case below == nil || !info.IsDir() && d.made[name]:
		if !d.empty(name, info) {
			d.add(Added, name)
		}
	case !info.IsDir() || !below.IsDir():
		d.add(Changed, name)
	}
	if !info.IsDir() {
		return nil
	}
	before := len(d.found)
	if below != nil && below.IsDir() && isOpaque(at) {
		d.deleteBelow(name)
	}
	if err := d.walk(name); err != nil {
		return err
	}
	if below != nil && below.IsDir() && (len(d.found) > before || touched(info, below) && !d.made[name]) {
		d.add(Changed, name)
	}
	return nil
}

func (d *diff) add(kind rune, name string) { d.found = append(d.found, Change{kind, name}) }

// empty says whether a path is a mount point that was made for the container.
func (d *diff) empty(name string, info fs.FileInfo) bool {
	return d.made[name] && (info.IsDir() || info.Size() == 0)
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

// below is what a path is in the layers below the writable one; nil if it is not there. Links in them lead nowhere: what is
// above the path must be directories, as it is in the writable layer.
func (d *diff) below(name string) fs.FileInfo {
	for _, layer := range d.lower {
		info, hidden := look(layer, name)
		if info != nil || hidden {
			return info
		}
	}
	return nil
}

// look finds a path in one layer, or that the layer hides it in those below.
func look(layer, name string) (info fs.FileInfo, hidden bool) {
	at := layer
	parts := strings.Split(inside(name), "/")
	for i, part := range parts {
		at = path.Join(at, part)
		info, err := os.Lstat(at)
		switch {
		case err != nil:
			return nil, hidden
		case isWhiteout(at, info):
			return nil, true
		case i == len(parts)-1:
			return info, hidden
		case !info.IsDir():
			return nil, true
		}
		hidden = hidden || isOpaque(at)
	}
	return nil, hidden
}

// deleteBelow adds what an opaque directory hides and does not have itself.
func (d *diff) deleteBelow(dir string) {
	seen := map[string]bool{}
	for _, layer := range d.lower {
		info, hidden := look(layer, dir)
		if info != nil && info.IsDir() {
			d.deleteEntries(layer, dir, seen)
			hidden = hidden || isOpaque(path.Join(layer, dir))
		}
		if hidden || info != nil && !info.IsDir() {
			return
		}
	}
}

func (d *diff) deleteEntries(layer, dir string, seen map[string]bool) {
	entries, err := os.ReadDir(path.Join(layer, dir))
	if err != nil {
		return
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		if _, err := d.upper.Lstat(inside(name)); seen[name] || !errors.Is(err, fs.ErrNotExist) || d.below(name) == nil {
			continue
		}
		seen[name] = true
		d.add(Deleted, name)
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
