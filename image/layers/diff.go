package layers

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// attributes by which overlayfs marks its upper directory; "user." where it was mounted in a user namespace.
var overlayPrefixes = []string{"trusted.overlay.", "user.overlay."}

// Diff writes the archive of what an overlay's upper directory changes, with OCI's whiteouts, in the order of
// names. Times later than latest become latest, unless that is zero. Sockets are left out: no archive holds them.
func Diff(w io.Writer, upper string, latest time.Time) error {
	d := &differ{out: tar.NewWriter(w), upper: upper, latest: latest, links: map[[2]uint64]string{}}
	err := filepath.WalkDir(upper, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(upper, path)
		if err != nil || name == "." {
			return err
		}
		if err := d.add(path, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return d.out.Close()
}

type differ struct {
	out    *tar.Writer
	upper  string
	latest time.Time
	links  map[[2]uint64]string // first name of each inode with several
}

func (d *differ) add(path, name string) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		return nil
	case unix.S_IFCHR:
		if st.Rdev == 0 {
			return d.whiteout(name)
		}
	}
	h, err := d.header(path, name, &st)
	if err != nil {
		return err
	}
	opaque, err := addAttributes(h, path)
	if err != nil {
		return err
	}
	if err := d.write(h, path); err != nil {
		return err
	}
	if opaque && h.Typeflag == tar.TypeDir {
		return d.out.WriteHeader(d.marker(filepath.Join(name, opaqueMarker)))
	}
	return nil
}

func (d *differ) whiteout(name string) error {
	dir, base := filepath.Split(name)
	return d.out.WriteHeader(d.marker(dir + whiteoutPrefix + base))
}

// marker is an empty file of no time, so that equal changes give equal archives.
func (d *differ) marker(name string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
}

func (d *differ) header(path, name string, st *unix.Stat_t) (*tar.Header, error) {
	h := &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: d.time(st.Mtim), Format: tar.FormatPAX, PAXRecords: map[string]string{},
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return nil, err
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, st.Size
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		h.Typeflag = tar.TypeChar
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		h.Devmajor, h.Devminor = int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))
	}
	if h.Typeflag != tar.TypeDir && st.Nlink > 1 {
		inode := [2]uint64{st.Dev, st.Ino}
		if first, ok := d.links[inode]; ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
		} else {
			d.links[inode] = name
		}
	}
	return h, nil
}

// time drops what is less than a second, as docker's layers do.
func (d *differ) time(ts unix.Timespec) time.Time {
	at := time.Unix(ts.Sec, 0)
	if !d.latest.IsZero() && at.After(d.latest) {
		return d.latest.Truncate(time.Second)
	}
	return at
}

// addAttributes copies the attributes that layers keep, and tells whether the directory is opaque.
func addAttributes(h *tar.Header, path string) (opaque bool, err error) {
	names, err := attributes(path)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		value, err := attribute(path, name)
		if err != nil {
			return false, fmt.Errorf("attribute %s: %w", name, err)
		}
		for _, prefix := range overlayPrefixes {
			switch mark, own := strings.CutPrefix(name, prefix); {
			case own && mark == "opaque":
				opaque = opaque || value == "y"
			case own && (mark == "redirect" || mark == "metacopy"):
				return false, fmt.Errorf("it is only a reference into a lower layer (%s), which cannot be committed: mount with redirect_dir=off,metacopy=off", name)
			}
		}
		if KeepsAttribute(name) && h.Typeflag != tar.TypeLink {
			h.PAXRecords[AttributeRecord+name] = value
		}
	}
	return opaque, nil
}

func attributes(path string) ([]string, error) {
	buf := make([]byte, 64<<10) // the kernel's limit
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.ENOTSUP) || n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00"), nil
}

func attribute(path, name string) (string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Lgetxattr(path, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

func (d *differ) write(h *tar.Header, path string) error {
	if h.Typeflag != tar.TypeReg || h.Size == 0 {
		return d.out.WriteHeader(h)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := d.out.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.CopyN(d.out, f, h.Size)
	if errors.Is(err, io.EOF) {
		return errors.New("it became shorter while it was read: pause who writes it")
	}
	return err
}
