package layers

import (
	"errors"

	"golang.org/x/sys/unix"
)

func isWhiteout(parent int, base string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

// whiteout marks a name as deleted, as overlayfs does: a character device 0/0. What this layer itself has of that
// name stays: only lower layers' is deleted.
func (u *untarrer) whiteout(parent int, base string) error {
	if base == "" || base == "." || base == ".." {
		return errors.New("a whiteout needs a name")
	}
	var st unix.Stat_t
	switch err := unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case errors.Is(err, unix.ENOENT):
		return unix.Mknodat(parent, base, unix.S_IFCHR, 0)
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return hideLower(parent, base)
	default:
		return nil
	}
}

// hideLower makes a directory opaque.
func hideLower(parent int, base string) error {
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return setOpaque(fd)
}

// setOpaque hides what lower layers have in a directory.
func setOpaque(fd int) error {
	return unix.Fsetxattr(fd, "trusted.overlay.opaque", []byte("y"), 0)
}

// HidesLower tells whether nothing of lower layers is seen through a layer's Root: it is opaque. overlayfs does not heed
// that at the top of its layers.
func HidesLower(root string) bool {
	value := make([]byte, 1)
	n, err := unix.Getxattr(root, "trusted.overlay.opaque", value)
	return err == nil && n == 1 && value[0] == 'y'
}
