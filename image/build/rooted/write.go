package rooted

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dhow/image/layers"
)

// Owner of files.
type Owner struct{ UID, GID int }

// linksMost bounds chains of links whose ends are not there.
const linksMost = 40

// MkdirAll makes what is missing of a directory, following links inside the root, and gives that an owner. It tells
// whether it made anything.
func (t *Tree) MkdirAll(dir string, owner Owner) (made bool, err error) {
	fd, made, err := t.makeDirs(dir, owner)
	if err != nil {
		return made, err
	}
	return made, unix.Close(fd)
}

func (t *Tree) makeDirs(dir string, owner Owner) (fd int, made bool, err error) {
	fd, err = t.openDir(dir)
	if !errors.Is(err, unix.ENOENT) {
		return fd, false, err
	}
	at := ""
	parts := strings.Split(strings.Trim(path.Clean("/"+dir), "/"), "/")
	for links := 0; len(parts) > 0; {
		next := path.Join(at, parts[0])
		kind, err := t.Kind(next)
		if err != nil {
			return -1, made, err
		}
		if kind == Missing {
			target, isLink := t.readlink(next)
			if isLink { // to something that is missing: make that
				if links++; links > linksMost {
					return -1, made, &fs.PathError{Op: "mkdir", Path: dir, Err: unix.ELOOP}
				}
				if !path.IsAbs(target) {
					target = path.Join("/", at, target)
				}
				at, parts = "", append(strings.Split(strings.Trim(path.Clean(target), "/"), "/"), parts[1:]...)
				continue
			}
			if err := t.mkdir(at, parts[0], owner); err != nil {
				return -1, made, &fs.PathError{Op: "mkdir", Path: "/" + next, Err: err}
			}
			made = true
		}
		at, parts = next, parts[1:]
	}
	fd, err = t.openDir(at)
	return fd, made, err
}

func (t *Tree) readlink(name string) (target string, ok bool) {
	fd, err := t.open(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", false
	}
	defer unix.Close(fd)
	return readlinkAt(fd, "")
}

func readlinkAt(fd int, name string) (string, bool) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, name, buf)
	return string(buf[:max(n, 0)]), err == nil
}

func (t *Tree) mkdir(parent, base string, owner Owner) error {
	fd, err := t.openDir(parent)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Mkdirat(fd, base, 0o755); err != nil {
		return err
	}
	return errors.Join(
		unix.Fchownat(fd, base, owner.UID, owner.GID, unix.AT_SYMLINK_NOFOLLOW),
		unix.Fchmodat(fd, base, 0o755, 0))
}

// target opens the directory in which a path's last element is to be written, and says what that is called: links are
// followed, also those to files that are not there. Missing parents are made.
func (t *Tree) target(name string, owner Owner) (dir int, base string, err error) {
	name = path.Clean("/" + name)
	for range linksMost {
		link, isLink := t.readlink(name)
		if !isLink {
			if name == "/" {
				return -1, "", &fs.PathError{Op: "create", Path: name, Err: unix.EISDIR}
			}
			fd, _, err := t.makeDirs(path.Dir(name), owner)
			return fd, path.Base(name), err
		}
		if !path.IsAbs(link) {
			link = path.Join(path.Dir(name), link)
		}
		name = path.Clean("/" + link)
	}
	return -1, "", &fs.PathError{Op: "create", Path: name, Err: unix.ELOOP}
}

// Attributes of a file that is made.
type Attributes struct {
	Owner Owner
	Mode  fs.FileMode // permissions, and setuid and the like as unix has them
	Time  time.Time
	// Xattrs are extended attributes that it gets; one that the file system does not know is left out.
	Xattrs map[string]string
}

// WriteFile makes or replaces a file; parents are made as well.
func (t *Tree) WriteFile(name string, content io.Reader, a Attributes) error {
	dir, base, err := t.target(name, a.Owner)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if err := writeFileAt(dir, base, content, a); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func writeFileAt(dir int, base string, content io.Reader, a Attributes) error {
	f, err := createAt(dir, base)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	return finish(f, a)
}

// createAt makes a new file in the place of what has the name, unless that is a directory.
func createAt(dir int, base string) (*os.File, error) {
	if err := unix.Unlinkat(dir, base, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, err
	}
	fd, err := unix.Openat(dir, base, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), base), nil
}

func finish(f *os.File, a Attributes) error {
	fd := int(f.Fd())
	return errors.Join(
		unix.Fchown(fd, a.Owner.UID, a.Owner.GID),
		unix.Fchmod(fd, uint32(a.Mode)&0o7777),
		setXattrs(fd, a.Xattrs),
		setTime(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), a.Time, 0))
}

func setXattrs(fd int, all map[string]string) error {
	for name, value := range all {
		if err := unix.Fsetxattr(fd, name, []byte(value), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	return nil
}

func setTime(dir int, name string, at time.Time, flags int) error {
	ts := layers.Timespec(at)
	return unix.UtimesNanoAt(dir, name, []unix.Timespec{ts, ts}, flags)
}
