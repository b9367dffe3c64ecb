package rooted

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"dhow/image/layers"
)

// entriesMost bounds the entries of an archive.
const entriesMost = 1 << 20

// Untar unpacks an archive (plain, gzip, bzip2, xz or zstd) into a directory. Its paths, and those of its hard links, are
// below that directory.
func (t *Tree) Untar(archive io.Reader, target string, c Copy) error {
	plain, err := layers.Decompress(archive, layers.Limits{})
	if err != nil {
		return err
	}
	defer plain.Close()
	fd, _, err := t.makeDirs(target, c.newOwner())
	if err != nil {
		return err
	}
	in := &Tree{fd}
	defer in.Close()
	reader := tar.NewReader(plain)
	var times []func() error // of directories, which what comes into them changes
	for range entriesMost {
		h, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return setTimes(times)
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		if err := in.untarEntry(h, reader, c, &times); err != nil {
			return fmt.Errorf("unpack %q: %w", h.Name, err)
		}
	}
	return errors.New("archive has too many entries")
}

func setTimes(times []func() error) error {
	for _, set := range times {
		if err := set(); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tree) untarEntry(h *tar.Header, content io.Reader, c Copy, times *[]func() error) error {
	name := path.Clean("/" + h.Name)
	st := unix.Stat_t{
		Mode: uint32(h.Mode & 0o7777), Uid: uint32(h.Uid), Gid: uint32(h.Gid), Mtim: layers.Timespec(h.ModTime),
	}
	if h.Typeflag == tar.TypeDir {
		st.Mode |= unix.S_IFDIR
	}
	a := c.attributes(&st)
	a.Xattrs = layers.Attributes(h)
	if name == "/" {
		return nil
	}
	if h.Typeflag == tar.TypeDir {
		if _, err := t.MkdirAll(name, c.newOwner()); err != nil {
			return err
		}
		set := func() error {
			fd, err := t.openDir(name)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return setDirectory(fd, a)
		}
		*times = append(*times, set)
		return set()
	}
	dir, _, err := t.makeDirs(path.Dir(name), c.newOwner())
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	base := path.Base(name)
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return writeFileAt(dir, base, content, a)
	case tar.TypeSymlink:
		return symlinkAt(dir, base, h.Linkname, a)
	case tar.TypeLink:
		return t.hardLink(dir, base, h.Linkname)
	case tar.TypeChar:
		return nodeAt(dir, base, unix.S_IFCHR, unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)), a)
	case tar.TypeBlock:
		return nodeAt(dir, base, unix.S_IFBLK, unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)), a)
	case tar.TypeFifo:
		return nodeAt(dir, base, unix.S_IFIFO, 0, a)
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("entries of type %q are not understood", h.Typeflag)
	}
}

func (t *Tree) hardLink(dir int, base, to string) error {
	to = path.Clean("/" + to)
	parent, err := t.openDir(path.Dir(to))
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	if err := unix.Unlinkat(dir, base, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := unix.Linkat(parent, path.Base(to), dir, base, 0); err != nil {
		return &fs.PathError{Op: "link", Path: to, Err: err}
	}
	return nil
}

// HoldsTar tells whether a file is an archive, compressed or not: by its content, not its name.
func HoldsTar(f *os.File) (bool, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	plain, err := layers.Decompress(f, layers.Limits{})
	if err != nil {
		return false, nil // it only begins like one
	}
	defer plain.Close()
	_, err = tar.NewReader(plain).Next()
	return err == nil, nil
}
