package layers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Archives may name a file without naming its folders: these are implied, and look as lower layers have them.
// overlayfs would show them as the layer that implies them has them, which knows nothing of other layers. So a
// snapshot's writable layer gets such folders as they should look.

// putImplied keeps the list with a layer in the making.
func putImplied(layer string, implied map[string]bool) error {
	if len(implied) == 0 {
		return nil
	}
	data, err := json.Marshal(implied)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(layer, impliedFile), data, 0o600)
}

// readImplied lists a layer's implied folders, if it has any; "." is the root.
func readImplied(layer string) (map[string]bool, error) {
	path := filepath.Join(layer, impliedFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	var implied map[string]bool
	if err := json.Unmarshal(data, &implied); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return implied, nil
}

// stack are a snapshot's layers, topmost first.
type stack []openLayer

type openLayer struct {
	root    int
	implied map[string]bool
}

func openStack(roots []string) (stack, error) {
	var all stack
	for _, dir := range roots {
		implied, err := readImplied(filepath.Dir(dir))
		if err != nil {
			all.close()
			return nil, err
		}
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			all.close()
			return nil, fmt.Errorf("open layer %s: %w", dir, err)
		}
		all = append(all, openLayer{fd, implied})
	}
	return all, nil
}

func (s stack) close() {
	for _, l := range s {
		unix.Close(l.root)
	}
}

// ShowImplied makes the folders in upper that a layer implies and a lower one names. roots are the layers' Roots,
// topmost first.
func ShowImplied(roots []string, upper string) error {
	layers, err := openStack(roots)
	if err != nil {
		return err
	}
	defer layers.close()
	names := map[string]bool{}
	for _, l := range layers {
		for name := range l.implied {
			names[name] = true
		}
	}
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted) // folders before what is in them
	for _, name := range sorted {
		if st, wanted := layers.named(name); wanted {
			if err := layers.show(upper, name, st); err != nil {
				return fmt.Errorf("folder %s: %w", name, err)
			}
		}
	}
	return nil
}

// named finds how a folder looks in the topmost layer that names it; wanted is false when that is the topmost that
// has it, and when there is none.
func (s stack) named(name string) (st unix.Stat_t, wanted bool) {
	for _, l := range s {
		fd, err := l.open(name)
		if errors.Is(err, unix.ENOENT) && !l.hides(path.Dir(name)) {
			continue
		}
		if err != nil { // deleted, or no folder
			return st, false
		}
		err = unix.Fstat(fd, &st)
		opaque := isOpaque(fd)
		unix.Close(fd)
		if err != nil || !l.implied[name] {
			return st, err == nil && wanted
		}
		if opaque || l.hides(path.Dir(name)) {
			return st, false
		}
		wanted = true
	}
	return st, false
}

func (l openLayer) open(name string) (int, error) {
	return unix.Openat2(l.root, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS,
	})
}

// hides tells whether a folder, or one above it, is opaque in this layer.
func (l openLayer) hides(name string) bool {
	for ; ; name = path.Dir(name) {
		if fd, err := l.open(name); err == nil {
			opaque := isOpaque(fd)
			unix.Close(fd)
			if opaque {
				return true
			}
		}
		if name == "." {
			return false
		}
	}
}

func isOpaque(fd int) bool {
	value := make([]byte, 1)
	n, err := unix.Fgetxattr(fd, "trusted.overlay.opaque", value)
	return err == nil && n == 1 && value[0] == 'y'
}

// show makes a folder in upper that looks so.
func (s stack) show(upper, name string, st unix.Stat_t) error {
	if err := s.makeAbove(upper, path.Dir(name)); err != nil {
		return err
	}
	return makeFolder(filepath.Join(upper, name), st)
}

// makeAbove makes folders in upper as they look already.
func (s stack) makeAbove(upper, name string) error {
	target := filepath.Join(upper, name)
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.makeAbove(upper, path.Dir(name)); err != nil {
		return err
	}
	st, err := s.topmost(name)
	if err != nil {
		return err
	}
	return makeFolder(target, st)
}

func makeFolder(target string, st unix.Stat_t) error {
	if err := os.Mkdir(target, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.Chown(target, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(target, st.Mode&0o7777); err != nil {
		return err
	}
	return unix.UtimesNano(target, []unix.Timespec{st.Mtim, st.Mtim})
}

// topmost is how a folder looks in the topmost layer that has it.
func (s stack) topmost(name string) (st unix.Stat_t, err error) {
	err = unix.ENOENT
	for _, l := range s {
		var fd int
		if fd, err = l.open(name); err == nil {
			err = unix.Fstat(fd, &st)
			unix.Close(fd)
			return st, err
		}
	}
	return st, err
}
