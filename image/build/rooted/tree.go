// Package rooted reads and writes directories that strangers have filled: every path is resolved by the kernel with
// the directory as its root (openat2(2), RESOLVE_IN_ROOT), so that no link leads outside.
package rooted

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Tree is an open directory that is the root of all its paths.
type Tree struct{ fd int }

// Open opens a directory of this machine.
func Open(dir string) (*Tree, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &Tree{fd}, nil
}

// Overlay opens the overlay of directories (topmost first) and a writable one; without upper it is read-only. It is
// mounted nowhere, and gone with Close or this process.
func Overlay(lower []string, upper, work string) (*Tree, error) {
	if upper == "" && len(lower) == 1 {
		return Open(lower[0])
	}
	fd, err := overlay(lower, upper, work)
	if err != nil {
		return nil, fmt.Errorf("overlay: %w", err)
	}
	return &Tree{fd}, nil
}

func overlay(lower []string, upper, work string) (int, error) {
	conf, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(conf)
	for i, dir := range lower {
		err := unix.FsconfigSetString(conf, "lowerdir+", dir)
		if i == 0 && errors.Is(err, unix.EINVAL) { // before Linux 6.5
			err = unix.FsconfigSetString(conf, "lowerdir", strings.Join(lower, ":"))
			lower = nil
		}
		if err != nil {
			return -1, fmt.Errorf("layer %s: %w", dir, err)
		}
		if lower == nil {
			break
		}
	}
	options := [][2]string{{"source", "overlay"}}
	if upper != "" {
		options = append(options, [2]string{"upperdir", upper}, [2]string{"workdir", work})
	}
	for _, o := range options {
		if err := unix.FsconfigSetString(conf, o[0], o[1]); err != nil {
			return -1, fmt.Errorf("%s %s: %w", o[0], o[1], err)
		}
	}
	if err := unix.FsconfigCreate(conf); err != nil {
		return -1, err
	}
	return unix.Fsmount(conf, unix.FSMOUNT_CLOEXEC, 0)
}

// Attach mounts an Overlay at a directory, where it stays until Detach.
func (t *Tree) Attach(dir string) error {
	if err := unix.MoveMount(t.fd, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	return nil
}

// Detach takes away what is mounted at a directory; nothing is fine.
func Detach(dir string) error {
	err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// Close ends the use of the tree.
func (t *Tree) Close() error { return unix.Close(t.fd) }

// relative makes a path one that openat2 takes.
func relative(name string) string {
	if clean := strings.TrimLeft(name, "/"); clean != "" {
		return clean
	}
	return "."
}

// open opens a path; links in it are followed, inside the root.
func (t *Tree) open(name string, flags int) (int, error) {
	fd, err := unix.Openat2(t.fd, relative(name), &unix.OpenHow{
		Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

func (t *Tree) openDir(name string) (int, error) {
	return t.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
}

// Kind is what a path is, links followed.
type Kind int

// The kinds that matter to who copies.
const (
	Missing Kind = iota
	Directory
	File // regular, or something stranger
)

// Kind tells what is at a path.
func (t *Tree) Kind(name string) (Kind, error) {
	fd, err := t.open(name, unix.O_PATH)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return Missing, nil
	}
	if err != nil {
		return Missing, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Missing, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return Directory, nil
	}
	return File, nil
}

// OpenFile opens a regular file for reading.
func (t *Tree) OpenFile(name string) (*os.File, error) {
	fd, err := t.open(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, errors.Join(&fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}, err)
	}
	return f, nil
}

// ReadFile reads a file of at most limit bytes.
func (t *Tree) ReadFile(name string, limit int64) ([]byte, error) {
	f, err := t.OpenFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return data, err
}

// names lists a directory in order.
func (t *Tree) names(dir string) ([]string, error) {
	fd, err := t.openDir(dir)
	if err != nil {
		return nil, err
	}
	return namesIn(fd)
}

// namesIn lists an open directory in order, and closes it.
func namesIn(fd int) ([]string, error) {
	f := os.NewFile(uintptr(fd), "directory")
	defer f.Close()
	all, err := f.Readdirnames(-1)
	slices.Sort(all)
	return all, err
}

// Glob lists the paths that a pattern names (path.Match in each element; "**" is any number of directories), sorted. A
// path without wildcards that is there is itself.
func (t *Tree) Glob(pattern string) ([]string, error) {
	pattern = strings.Trim(path.Clean("/"+pattern), "/")
	if !strings.ContainsAny(pattern, `*?[\`) {
		there, err := t.lexists(pattern)
		if err != nil || !there {
			return nil, err
		}
		return []string{pattern}, nil
	}
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%q: %w", pattern, err)
	}
	found := map[string]bool{}
	if err := t.glob("", strings.Split(pattern, "/"), found, 0); err != nil {
		return nil, err
	}
	all := make([]string, 0, len(found))
	for name := range found {
		all = append(all, name)
	}
	slices.Sort(all)
	return all, nil
}

// globDeep bounds "**", which links could lead in circles.
const globDeep = 128

func (t *Tree) glob(at string, rest []string, found map[string]bool, depth int) error {
	if len(rest) == 0 {
		if at != "" {
			found[at] = true
		}
		return nil
	}
	names, err := t.names(at)
	if err != nil || depth > globDeep { // not a directory
		return nil
	}
	if rest[0] == "**" {
		if err := t.glob(at, rest[1:], found, depth+1); err != nil {
			return err
		}
	}
	for _, name := range names {
		next := path.Join(at, name)
		if rest[0] == "**" {
			if t.isRealDir(next) {
				if err := t.glob(next, rest, found, depth+1); err != nil {
					return err
				}
			}
			continue
		}
		if ok, err := path.Match(rest[0], name); err != nil || !ok {
			continue
		}
		if err := t.glob(next, rest[1:], found, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tree) isRealDir(name string) bool {
	var st unix.Stat_t
	fd, err := t.open(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

func (t *Tree) lexists(name string) (bool, error) {
	fd, err := t.open(name, unix.O_PATH|unix.O_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, unix.Close(fd)
}

// Resolve gives the path without links of something inside the tree.
func (t *Tree) Resolve(name string) (string, error) {
	fd, err := t.open(name, unix.O_PATH)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	real, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return "", err
	}
	top, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", t.fd))
	if err != nil {
		return "", err
	}
	return path.Clean("/" + strings.TrimPrefix(real, top)), nil
}
