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

// Copy says how files are copied.
type Copy struct {
	// Owner of the copies; nil: as the sources.
	Owner *Owner
	// Mode changes permissions; nil: as the sources.
	Mode func(old uint32, dir bool) uint32
	// Leave leaves paths out (relative to the tree that is copied from); nil: none. Of what is skipped, directories are
	// looked into if descend is true.
	Leave func(name string, dir bool) (skip, descend bool)
	// Latest is the latest time that copies may have, if not zero.
	Latest time.Time

	links *hardLinks // of one call of Dir
}

func (c Copy) attributes(st *unix.Stat_t) Attributes {
	a := Attributes{Owner: Owner{int(st.Uid), int(st.Gid)}, Mode: fs.FileMode(st.Mode & 0o7777), Time: time.Unix(st.Mtim.Unix())}
	if c.Owner != nil {
		a.Owner = *c.Owner
	}
	if c.Mode != nil {
		a.Mode = fs.FileMode(c.Mode(st.Mode&0o7777, st.Mode&unix.S_IFMT == unix.S_IFDIR))
	}
	if !c.Latest.IsZero() && a.Time.After(c.Latest) {
		a.Time = c.Latest
	}
	return a
}

func (c Copy) newOwner() Owner {
	if c.Owner != nil {
		return *c.Owner
	}
	return Owner{}
}

// Dir copies what a directory holds into another, which is made if it is missing. The directory itself is not copied: one
// that is made has the usual permissions. Files that are one, by hard links, stay one.
func (c Copy) Dir(from *Tree, source string, to *Tree, target string) error {
	src, err := from.openDir(source)
	if err != nil {
		return err
	}
	defer unix.Close(src)
	dst, _, err := to.makeDirs(target, c.newOwner())
	if errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("cannot copy to non-directory: %s", target)
	}
	if err != nil {
		return err
	}
	defer unix.Close(dst)
	c.links = &hardLinks{in: to, first: map[[2]uint64]string{}}
	return c.contents(src, cleanName(source), place{to, path.Join("/", target), dst})
}

func cleanName(name string) string { return strings.TrimLeft(path.Clean("/"+name), "/") }

// File copies one file, links followed, to a path.
func (c Copy) File(from *Tree, source string, to *Tree, target string) error {
	f, err := from.OpenFile(source)
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	dir, base, err := to.target(target, c.newOwner())
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if err := c.regular(f, dir, base, c.attributes(&st)); err != nil {
		return fmt.Errorf("%s: %w", target, err)
	}
	return nil
}

func (c Copy) regular(f *os.File, dir int, base string, a Attributes) error {
	out, err := createAt(dir, base)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := io.Copy(out, f); err != nil {
		return err
	}
	if err := finish(out, a); err != nil {
		return err
	}
	return copyAttributes(int(f.Fd()), int(out.Fd()))
}

// copyAttributes keeps file capabilities and users' attributes.
func copyAttributes(from, to int) error {
	all, err := attributesOf(from)
	if err != nil {
		return err
	}
	return setXattrs(to, all)
}

// attributesOf are the extended attributes that are copied.
func attributesOf(fd int) (map[string]string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Flistxattr(fd, buf)
	if err != nil || n == 0 {
		return nil, nil // a file system without attributes
	}
	all := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if !layers.KeepsAttribute(name) {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Fgetxattr(fd, name, value)
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", name, err)
		}
		all[name] = string(value[:n])
	}
	return all, nil
}

// place is an open directory that is copied into.
type place struct {
	tree *Tree
	name string // in tree
	fd   int
}

func (c Copy) contents(src int, name string, dst place) error {
	listed, err := unix.Openat(src, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	all, err := namesIn(listed)
	if err != nil {
		return err
	}
	for _, base := range all {
		if err := c.entry(src, base, path.Join(name, base), dst); err != nil {
			return err
		}
	}
	return nil
}

func (c Copy) entry(src int, base, name string, dst place) error {
	var st unix.Stat_t
	if err := unix.Fstatat(src, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "copy", Path: name, Err: err}
	}
	isDir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	skip, descend := false, true
	if c.Leave != nil {
		skip, descend = c.Leave(name, isDir)
	}
	if skip && (!isDir || !descend) {
		return nil
	}
	if isDir {
		return c.directory(src, base, name, dst, &st, skip)
	}
	linked, err := c.links.link(&st, dst, base)
	if err == nil && !linked {
		err = c.leaf(src, base, dst.fd, &st)
	}
	if err != nil {
		return &fs.PathError{Op: "copy", Path: name, Err: err}
	}
	return nil
}

// leaf copies what is no directory. Sockets are left out: no image holds them.
func (c Copy) leaf(src int, base string, dst int, st *unix.Stat_t) error {
	a := c.attributes(st)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		fd, err := unix.Openat(src, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), base)
		defer f.Close()
		return c.regular(f, dst, base, a)
	case unix.S_IFLNK:
		target, ok := readlinkAt(src, base)
		if !ok {
			return unix.EINVAL
		}
		return symlinkAt(dst, base, target, a)
	case unix.S_IFSOCK:
		return nil
	case unix.S_IFCHR:
		if st.Rdev == 0 { // overlayfs' mark of a deletion
			return nil
		}
	}
	return nodeAt(dst, base, st.Mode&unix.S_IFMT, st.Rdev, a)
}

func symlinkAt(dir int, base, target string, a Attributes) error {
	if err := unix.Unlinkat(dir, base, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := unix.Symlinkat(target, dir, base); err != nil {
		return err
	}
	return errors.Join(unix.Fchownat(dir, base, a.Owner.UID, a.Owner.GID, unix.AT_SYMLINK_NOFOLLOW),
		setTime(dir, base, a.Time, unix.AT_SYMLINK_NOFOLLOW))
}

func nodeAt(dir int, base string, kind uint32, device uint64, a Attributes) error {
	if err := unix.Unlinkat(dir, base, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := unix.Mknodat(dir, base, kind|0o600, int(device)); err != nil {
		return err
	}
	return errors.Join(unix.Fchownat(dir, base, a.Owner.UID, a.Owner.GID, unix.AT_SYMLINK_NOFOLLOW),
		unix.Fchmodat(dir, base, uint32(a.Mode)&0o7777, 0), setTime(dir, base, a.Time, unix.AT_SYMLINK_NOFOLLOW))
}

// directory copies a directory into one of the same name, which looks as it does then, unless a link led there. One that is
// skipped appears only if something in it is not.
func (c Copy) directory(src int, base, name string, dst place, st *unix.Stat_t, skipped bool) error {
	from, err := unix.Openat(src, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "copy", Path: name, Err: err}
	}
	defer unix.Close(from)
	if skipped {
		if any, err := c.holdsAny(from, name); err != nil || !any {
			return err
		}
	}
	to, made, err := dst.enter(base)
	if err != nil {
		return err
	}
	defer unix.Close(to.fd)
	if err := c.contents(from, name, to); err != nil {
		return err
	}
	if isLink, err := dst.isLink(base); err != nil || isLink || skipped && !made {
		return err
	}
	return errors.Join(copyAttributes(from, to.fd), setDirectory(to.fd, c.attributes(st)))
}

// enter opens a directory to copy into, and makes it if it is missing. A link to a directory is followed, inside the
// root.
func (p place) enter(base string) (in place, made bool, err error) {
	in = place{tree: p.tree, name: path.Join("/", p.name, base)}
	err = unix.Mkdirat(p.fd, base, 0o755)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return in, false, &fs.PathError{Op: "mkdir", Path: in.name, Err: err}
	}
	made = err == nil
	in.fd, err = p.tree.openDir(in.name)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ENOENT) {
		err = fmt.Errorf("cannot copy to non-directory: %s", in.name)
	}
	return in, made, err
}

func (p place) isLink(base string) (bool, error) {
	var st unix.Stat_t
	err := unix.Fstatat(p.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	return st.Mode&unix.S_IFMT == unix.S_IFLNK, err
}

func setDirectory(fd int, a Attributes) error {
	return errors.Join(unix.Fchown(fd, a.Owner.UID, a.Owner.GID), unix.Fchmod(fd, uint32(a.Mode)&0o7777), setXattrs(fd, a.Xattrs),
		setTime(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), a.Time, 0))
}

// holdsAny tells whether something below a directory is not skipped.
func (c Copy) holdsAny(dir int, name string) (bool, error) {
	found := false
	err := walk(dir, name, c.Leave, func(entry) error {
		found = true
		return fs.SkipAll
	})
	if errors.Is(err, fs.SkipAll) {
		err = nil
	}
	return found, err
}
