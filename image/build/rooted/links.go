package rooted

import (
	"errors"
	"path"

	"golang.org/x/sys/unix"
)

// hardLinks are the first copies of files that have several names.
type hardLinks struct {
	in    *Tree
	first map[[2]uint64]string // by device and inode of the source
}

// link makes base a further name of a file that was copied before; false if it is to be copied.
func (h *hardLinks) link(st *unix.Stat_t, dst place, base string) (bool, error) {
	if h == nil || st.Nlink < 2 || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false, nil
	}
	inode := [2]uint64{st.Dev, st.Ino}
	name, known := h.first[inode]
	if !known {
		h.first[inode] = path.Join(dst.name, base)
		return false, nil
	}
	dir, err := h.in.openDir(path.Dir(name))
	if err != nil {
		return false, err
	}
	defer unix.Close(dir)
	if err := unix.Unlinkat(dst.fd, base, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return false, err
	}
	return true, unix.Linkat(dir, path.Base(name), dst.fd, base, 0)
}
