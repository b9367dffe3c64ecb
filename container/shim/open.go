package shim

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// openRoot opens what of the machine becomes part of a container: its root, then each mount that has a source. All are
// mounts that are mounted nowhere, with the ids of the pod's user namespace on them. The shim does this and not
// init: init may have no rights on the machine's files.
func (s *server) openRoot(c *Container) (_ []*os.File, err error) {
	var all []*os.File
	defer func() {
		if err != nil {
			closeAll(all)
		}
	}()
	user := -1
	if c.UserNS {
		user = int(s.userNS.Fd())
	}
	root, err := openRootMount(c, user)
	if err != nil {
		return nil, err
	}
	all = append(all, os.NewFile(uintptr(root), "root"))
	for _, m := range c.Mounts {
		if m.Source == "" {
			continue
		}
		fd, err := openSource(c, m, user)
		if err != nil {
			return all, fmt.Errorf("bind mount of %s: %w", m.Source, err)
		}
		all = append(all, os.NewFile(uintptr(fd), m.Source))
	}
	return all, nil
}

func openSource(c *Container, m Mount, user int) (int, error) {
	if m.Image != nil {
		return openImage(c, m, user)
	}
	return openBind(m, user)
}

const cloneTree = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC

func openRootMount(c *Container, user int) (int, error) {
	r := c.Root
	switch {
	case r.Plain != "":
		return openPlain(r.Plain, user)
	case user >= 0:
		return mappedOverlay(r, c.HostUID, c.HostGID, user)
	default:
		return overlay(r)
	}
}

// openPlain is a directory as the root.
func openPlain(dir string, user int) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, cloneTree|unix.AT_RECURSIVE)
	if err != nil {
		return -1, fmt.Errorf("root %s: %w", dir, err)
	}
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Propagation: unix.MS_PRIVATE})
	if err == nil && user >= 0 {
		err = mapIDs(fd, user)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("root %s: %w", dir, err)
	}
	return fd, nil
}

// overlay makes the overlay of an image's layers and a writable one. Since Linux 6.5 layers are named one by one; older
// kernels want all in one option of limited length and no commas in any, so that they are named by descriptors there.
func overlay(r Root) (int, error) {
	root, err := overlayOf(r, func(fs int) error {
		for _, dir := range r.Lower {
			if err := unix.FsconfigSetString(fs, "lowerdir+", dir); err != nil {
				return fmt.Errorf("layer %s: %w", dir, err)
			}
		}
		return nil
	})
	if !errors.Is(err, unix.EINVAL) {
		return root, err
	}
	var names []string
	for _, dir := range append([]string{r.Upper, r.Work}, r.Lower...) {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, fmt.Errorf("layer %s: %w", dir, err)
		}
		defer unix.Close(fd)
		names = append(names, fmt.Sprintf("/proc/self/fd/%d", fd))
	}
	r.Upper, r.Work = names[0], names[1]
	return overlayOf(r, func(fs int) error { return unix.FsconfigSetString(fs, "lowerdir", strings.Join(names[2:], ":")) })
}

func overlayOf(r Root, lower func(fs int) error) (int, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open overlayfs: %w", err)
	}
	defer unix.Close(fs)
	if err := lower(fs); err != nil {
		return -1, fmt.Errorf("overlay root: %w", err)
	}
	for key, value := range map[string]string{"source": "overlay", "upperdir": r.Upper, "workdir": r.Work} {
		if err := unix.FsconfigSetString(fs, key, value); err != nil {
			return -1, fmt.Errorf("overlay root: %s %s: %w", key, value, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("make overlay root: %w", err)
	}
	root, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("mount overlay root: %w", err)
	}
	return root, nil
}

// mappedOverlay makes the overlay of layers with the user namespace's ids on them, the writable one included: on disk
// all files have the ids that the container sees. Overlayfs takes layers by their paths, so they are mounted for a
// moment, in a mount namespace that ends with its thread.
func mappedOverlay(r Root, uid, gid uint32, user int) (root int, err error) {
	err = OnThread(func() error {
		if err := actAs(uid, gid); err != nil {
			return err
		}
		root, err = mappedOverlayHere(r, user)
		return err
	})
	return root, err
}

// actAs lets this thread make files as a user, with all its rights: overlayfs makes those of its own as whoever mounted
// it, and on mounts with mapped ids there is no user but the mapped ones.
func actAs(uid, gid uint32) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETFSGID, uintptr(gid), 0, 0); errno != 0 {
		return fmt.Errorf("act as group %d: %w", gid, errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETFSUID, uintptr(uid), 0, 0); errno != 0 {
		return fmt.Errorf("act as user %d: %w", uid, errno)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("get capabilities: %w", err)
	}
	for i := range data {
		data[i].Effective = data[i].Permitted
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	return nil
}

func mappedOverlayHere(r Root, user int) (int, error) {
	if err := ownMounts(); err != nil {
		return -1, err
	}
	base, err := fsMount("tmpfs", nothingSpecial)
	if err != nil {
		return -1, err
	}
	defer unix.Close(base)
	// Layers are not below /sys, so nothing that is still needed is hidden.
	if err := unix.MoveMount(base, "", unix.AT_FDCWD, "/sys", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return -1, fmt.Errorf("mount layers: %w", err)
	}
	mapped := Root{}
	for i, dir := range r.Lower {
		at := strconv.Itoa(i)
		if err := mapLayer(base, at, dir, user); err != nil {
			return -1, err
		}
		mapped.Lower = append(mapped.Lower, "/sys/"+at)
	}
	if path.Dir(r.Upper) != path.Dir(r.Work) {
		return -1, fmt.Errorf("overlay root: %s and %s are not side by side", r.Upper, r.Work)
	}
	if err := mapLayer(base, "w", path.Dir(r.Upper), user); err != nil {
		return -1, err
	}
	mapped.Upper, mapped.Work = "/sys/w/"+path.Base(r.Upper), "/sys/w/"+path.Base(r.Work)
	root, err := overlay(mapped)
	if errors.Is(err, unix.EINVAL) {
		err = fmt.Errorf("layers with the ids of a user namespace need Linux 5.19 or later: %w", err)
	}
	return root, err
}

// ownMounts gives this thread a mount namespace that nobody sees.
func ownMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("make mount namespace: %w", err)
	}
	err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Propagation: unix.MS_PRIVATE})
	if err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	return nil
}

func mapLayer(base int, at, dir string, user int) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, cloneTree)
	if err != nil {
		return fmt.Errorf("layer %s: %w", dir, err)
	}
	defer unix.Close(fd)
	if err := mapIDs(fd, user); err != nil {
		return fmt.Errorf("layer %s: %w", dir, err)
	}
	if err := unix.Mkdirat(base, at, 0o755); err != nil {
		return fmt.Errorf("layer %s: %w", dir, err)
	}
	if err := unix.MoveMount(fd, "", base, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("layer %s: %w", dir, err)
	}
	return nil
}

// mapIDs puts the ids of a user namespace on a detached mount: what is 0 on disk is its root.
func mapIDs(mount, user int) error {
	err := unix.MountSetattr(mount, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(user),
	})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) {
		return fmt.Errorf("its file system cannot map the ids of a user namespace (ext4, xfs and btrfs can, tmpfs since Linux 6.3): %w", err)
	}
	return err
}

// openBind opens the source of a bind mount while mounts still propagate as on the host.
func openBind(m Mount, user int) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, m.Source, cloneTree|unix.AT_RECURSIVE)
	if err != nil {
		return -1, err
	}
	if err := setBind(fd, m, user); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func setBind(fd int, m Mount, user int) error {
	propagation := m.Propagation
	if propagation == 0 {
		propagation = unix.MS_PRIVATE
	}
	// A shared mount stays in its group; the others leave it.
	if propagation != unix.MS_SHARED {
		err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Propagation: propagation})
		if err != nil {
			return fmt.Errorf("set propagation: %w", err)
		}
	}
	if user < 0 {
		return nil
	}
	if err := mapIDs(fd, user); err != nil && m.MustMap {
		return err
	}
	return nil
}

// restrict is the last thing that happens to a bind mount.
func restrict(fd int, m Mount) error {
	attributes := uint64(m.Attributes)
	if m.ReadOnly {
		attributes |= unix.MOUNT_ATTR_RDONLY
	}
	if attributes == 0 {
		return nil
	}
	var flags uint = unix.AT_EMPTY_PATH
	if m.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	if err := unix.MountSetattr(fd, "", flags, &unix.MountAttr{Attr_set: attributes}); err != nil {
		return fmt.Errorf("restrict it: %w", err)
	}
	return nil
}
