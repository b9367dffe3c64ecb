package rooted

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// entry is one thing that a walk comes by.
type entry struct {
	dir  int
	base string
	name string // from the top of the tree
	st   unix.Stat_t
}

// walk visits what lies below an open directory, in the order of names, except what is skipped.
func walk(dir int, name string, skip func(string, bool) (bool, bool), visit func(entry) error) error {
	listed, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	all, err := namesIn(listed)
	if err != nil {
		return err
	}
	for _, base := range all {
		e := entry{dir: dir, base: base, name: path.Join(name, base)}
		if err := unix.Fstatat(dir, base, &e.st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &fs.PathError{Op: "read", Path: e.name, Err: err}
		}
		isDir := e.st.Mode&unix.S_IFMT == unix.S_IFDIR
		skipped, descend := false, true
		if skip != nil {
			skipped, descend = skip(e.name, isDir)
		}
		if !skipped {
			if err := visit(e); err != nil {
				return err
			}
		}
		if isDir && (!skipped || descend) {
			if err := walkInto(e, skip, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

func walkInto(e entry, skip func(string, bool) (bool, bool), visit func(entry) error) error {
	fd, err := unix.Openat(e.dir, e.base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "read", Path: e.name, Err: err}
	}
	defer unix.Close(fd)
	return walk(fd, e.name, skip, visit)
}

// Digest is over names, kinds, permissions, owners and contents of what is at a path, but not times: two trees of one
// digest make the same copies, but for these. With an owner to give, the owners do not count. A further name of a file is
// told by the first.
func (c Copy) Digest(t *Tree, name string) (string, error) {
	sum := sha256.New()
	kind, err := t.Kind(name)
	if err != nil {
		return "", err
	}
	if kind != Directory {
		f, err := t.OpenFile(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return "", err
		}
		c.describe(sum, "", &st)
		_, err = io.Copy(sum, f)
		return hex.EncodeToString(sum.Sum(nil)), err
	}
	fd, err := t.openDir(name)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	top := cleanName(name)
	links := map[[2]uint64]string{}
	err = walk(fd, top, c.Leave, func(e entry) error {
		c.describe(sum, e.name[len(top):], &e.st)
		switch e.st.Mode & unix.S_IFMT {
		case unix.S_IFLNK:
			target, _ := readlinkAt(e.dir, e.base)
			fmt.Fprintf(sum, "%q\n", target)
		case unix.S_IFREG:
			inode := [2]uint64{e.st.Dev, e.st.Ino}
			if first, known := links[inode]; known {
				fmt.Fprintf(sum, "%q\n", first)
				return nil
			}
			if e.st.Nlink > 1 {
				links[inode] = e.name[len(top):]
			}
			return hashContent(sum, e)
		}
		return nil
	})
	return hex.EncodeToString(sum.Sum(nil)), err
}

func (c Copy) describe(sum hash.Hash, name string, st *unix.Stat_t) {
	a := c.attributes(st)
	size := st.Size
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		size = 0
	}
	fmt.Fprintf(sum, "%q %o %o %d:%d %d %d\n", name, st.Mode&unix.S_IFMT, a.Mode, a.Owner.UID, a.Owner.GID, st.Rdev, size)
}

func hashContent(sum hash.Hash, e entry) error {
	fd, err := unix.Openat(e.dir, e.base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "read", Path: e.name, Err: err}
	}
	f := os.NewFile(uintptr(fd), e.name)
	defer f.Close()
	_, err = io.Copy(sum, f)
	return err
}
