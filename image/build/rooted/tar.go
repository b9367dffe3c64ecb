package rooted

import (
	"archive/tar"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"dhow/image/layers"
)

// Tar writes all that the tree holds as an archive. Times later than latest become it, unless that is zero.
func (t *Tree) Tar(w io.Writer, latest time.Time) error {
	out := tar.NewWriter(w)
	top, err := t.openDir("/")
	if err != nil {
		return err
	}
	defer unix.Close(top)
	links := map[[2]uint64]string{}
	c := Copy{Latest: latest}
	if err := walk(top, "", nil, func(e entry) error { return tarEntry(out, e, c, links) }); err != nil {
		return err
	}
	return out.Close()
}

func tarEntry(out *tar.Writer, e entry, c Copy, links map[[2]uint64]string) error {
	a := c.attributes(&e.st)
	h := &tar.Header{Name: e.name, Mode: int64(a.Mode), Uid: a.Owner.UID, Gid: a.Owner.GID, ModTime: a.Time, Format: tar.FormatPAX}
	switch e.st.Mode & unix.S_IFMT {
	case unix.S_IFDIR, unix.S_IFREG:
		if err := tarAttributes(h, e); err != nil {
			return err
		}
	}
	switch e.st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, e.name+"/"
	case unix.S_IFLNK:
		h.Typeflag = tar.TypeSymlink
		h.Linkname, _ = readlinkAt(e.dir, e.base)
	case unix.S_IFREG:
		return tarFile(out, e, h, links)
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		if e.st.Rdev == 0 {
			return nil
		}
		h.Typeflag = tar.TypeChar
		if e.st.Mode&unix.S_IFMT == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(e.st.Rdev)), int64(unix.Minor(e.st.Rdev))
	default:
		return nil
	}
	return out.WriteHeader(h)
}

func tarAttributes(h *tar.Header, e entry) error {
	fd, err := unix.Openat(e.dir, e.base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	all, err := attributesOf(fd)
	for name, value := range all {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[layers.AttributeRecord+name] = value
	}
	return err
}

func tarFile(out *tar.Writer, e entry, h *tar.Header, links map[[2]uint64]string) error {
	h.Typeflag, h.Size = tar.TypeReg, e.st.Size
	if e.st.Nlink > 1 {
		inode := [2]uint64{e.st.Dev, e.st.Ino}
		if first, ok := links[inode]; ok {
			h.Typeflag, h.Linkname, h.Size, h.PAXRecords = tar.TypeLink, first, 0, nil
			return out.WriteHeader(h)
		}
		links[inode] = e.name
	}
	fd, err := unix.Openat(e.dir, e.base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), e.name)
	defer f.Close()
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.CopyN(out, f, e.st.Size)
	return err
}
