package shim

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// openImage opens an image, or a path in it, to be mounted: read-only, and with nothing in it to be executed.
func openImage(c *Container, m Mount, user int) (int, error) {
	var image int
	var err error
	if user >= 0 {
		image, err = mappedOverlay(*m.Image, c.HostUID, c.HostGID, user)
	} else {
		image, err = overlay(*m.Image)
	}
	if err != nil {
		return -1, err
	}
	if m.SubPath != "" {
		image, err = partOf(image, m.SubPath)
	}
	if err != nil {
		return -1, err
	}
	err = unix.MountSetattr(image, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: nothingSpecial | unix.MOUNT_ATTR_RDONLY})
	if err != nil {
		unix.Close(image)
		return -1, fmt.Errorf("make read-only: %w", err)
	}
	return image, nil
}

// partOf is a mount of a path in a detached mount, whose own links cannot lead out of it. Only what is mounted somewhere
// can be taken in parts: it is for a moment, in a mount namespace that ends with its thread.
func partOf(mount int, name string) (part int, err error) {
	defer unix.Close(mount)
	err = OnThread(func() error {
		if err := ownMounts(); err != nil {
			return err
		}
		if err := unix.MoveMount(mount, "", unix.AT_FDCWD, "/sys", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return err
		}
		at, err := inRoot(mount, name, unix.O_PATH)
		if err != nil {
			return err
		}
		defer unix.Close(at)
		part, err = unix.OpenTree(at, "", cloneTree|unix.AT_EMPTY_PATH)
		return err
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return -1, fmt.Errorf("the image has no %q", name)
	}
	return part, err
}
