package layers

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// writeFile makes a regular file that was not there.
func (u *untarrer) writeFile(parent int, name string, h *tar.Header, content io.Reader) error {
	base := path.Base(name)
	fd, err := unix.Openat(parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), base)
	if h.Size > 0 {
		err = u.writeContent(f, parent, base, h, content)
	}
	if err == nil {
		err = setMetadata(fd, h)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return setTime(parent, base, h.ModTime)
}

func (u *untarrer) writeContent(f *os.File, parent int, base string, h *tar.Header, content io.Reader) error {
	if isSparse(h) { // of those the archive has other bytes than the file
		return u.writeSparse(f, h.Size, content)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	dir, err := u.pathOf(parent)
	if err != nil {
		return err
	}
	u.recipe.beginFile(path.Join(dir, base), h.Size, st.Ino)
	defer u.recipe.endFile()
	n, err := io.CopyBuffer(onlyWriter{f}, content, u.buffer())
	u.size += uint64(n)
	return err
}

// writeSparse leaves holes where a file has nothing but zeros. A header of some bytes may call for any size.
func (u *untarrer) writeSparse(f *os.File, size int64, content io.Reader) error {
	if err := u.recipe.archive.Grow(size); err != nil {
		return err
	}
	zeros := make([]byte, len(u.buffer()))
	for at := int64(0); at < size; {
		block := u.buffer()[:min(int64(len(u.buffer())), size-at)]
		if _, err := io.ReadFull(content, block); err != nil {
			return err
		}
		if !bytes.Equal(block, zeros[:len(block)]) {
			if _, err := f.WriteAt(block, at); err != nil {
				return err
			}
			u.size += uint64(len(block))
		}
		at += int64(len(block))
	}
	return f.Truncate(size)
}

// onlyWriter hides os.File's ReadFrom, which would not use our buffer.
type onlyWriter struct{ io.Writer }

func (u *untarrer) buffer() []byte {
	if u.copied == nil {
		u.copied = make([]byte, 256<<10)
	}
	return u.copied
}

func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// pathOf is where the open parent lies in the root, without links: the archive's own path may lead over some.
func (u *untarrer) pathOf(parent int) (string, error) {
	if u.parentReal != "" {
		return u.parentReal, nil
	}
	dir, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", parent))
	if err != nil {
		return "", err
	}
	inside, ok := strings.CutPrefix(dir, u.rootPath)
	if !ok {
		return "", fmt.Errorf("%s is outside the layer", dir)
	}
	u.parentReal = path.Join(".", inside)
	return u.parentReal, nil
}

// setMetadata sets owner, mode and extended attributes of an open file or directory. The mode comes after the
// owner, a change of which clears set-uid bits, and attributes come last, since it clears capabilities too.
func setMetadata(fd int, h *tar.Header) error {
	if err := unix.Fchown(fd, h.Uid, h.Gid); err != nil {
		return fmt.Errorf("change owner to %d:%d: %w", h.Uid, h.Gid, err)
	}
	if err := unix.Fchmod(fd, uint32(h.Mode&0o7777)); err != nil {
		return fmt.Errorf("change mode: %w", err)
	}
	for name, value := range Attributes(h) {
		err := unix.Fsetxattr(fd, name, []byte(value), 0)
		if err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("set attribute %s: %w", name, err)
		}
	}
	return nil
}

// Attributes are the extended attributes that an entry of an archive brings.
func Attributes(h *tar.Header) map[string]string {
	var all map[string]string
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, AttributeRecord); ok && KeepsAttribute(name) {
			if all == nil {
				all = map[string]string{}
			}
			all[name] = value
		}
	}
	return all
}

// KeepsAttribute tells which extended attributes mean something to programs in a container; overlayfs' own and security
// labels of the machine where the image was built do not.
func KeepsAttribute(name string) bool {
	return name == "security.capability" || strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "user.overlay.")
}
