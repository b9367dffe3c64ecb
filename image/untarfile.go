package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// writeFile makes a regular file that was not there.
func writeFile(parent int, base string, h *tar.Header, content io.Reader) error {
	fd, err := unix.Openat(parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), base)
	_, err = io.Copy(f, content)
	if err == nil {
		err = setMetadata(fd, h)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return setTime(parent, base, h.ModTime)
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
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, xattrRecord)
		if !ok || !wanted(name) {
			continue
		}
		err := unix.Fsetxattr(fd, name, []byte(value), 0)
		if err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("set attribute %s: %w", name, err)
		}
	}
	return nil
}

// wanted attributes are the ones that mean something to programs in a container; overlayfs' own and security
// labels of the machine where the image was built do not.
func wanted(name string) bool {
	return name == "security.capability" || strings.HasPrefix(name, "user.")
}
