package mounts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// Part mounts a path of a volume on target, which it makes; the path becomes a directory with the volume's own mode if nothing
// is there. Links and
// ".." lead nowhere outside the volume, also while a container that has it changes it (CVE-2017-1002101,
// CVE-2021-25741): what is mounted is what was opened. What was mounted on target before is not any more.
func Part(volume, path, target string) error {
	part, err := openPart(volume, path)
	if err != nil {
		return err
	}
	defer part.Close()
	fd, err := unix.OpenTree(int(part.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return &os.PathError{Op: "open_tree", Path: filepath.Join(volume, path), Err: err}
	}
	defer unix.Close(fd)
	if err := unmountAll(target); err != nil {
		return err
	}
	if err := makeLike(part, target); err != nil {
		return err
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &os.PathError{Op: "move_mount", Path: target, Err: err}
	}
	return nil
}

func openPart(volume, path string) (*os.File, error) {
	root, err := os.OpenFile(volume, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	part, err := pathrs.OpenatInRoot(root, path)
	if errors.Is(err, os.ErrNotExist) {
		part, err = makePart(root, path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s in %s: %w", path, volume, err)
	}
	return part, nil
}

func makePart(root *os.File, path string) (*os.File, error) {
	info, err := root.Stat()
	if err != nil {
		return nil, err
	}
	part, err := pathrs.MkdirAllHandle(root, path, info.Mode().Perm())
	if err != nil {
		return nil, err
	}
	made, err := part.Stat()
	if err == nil { // as the volume, whatever this process' umask
		err = os.Chmod(fmt.Sprintf("/proc/self/fd/%d", part.Fd()), info.Mode().Perm()|made.Mode()&os.ModeSetgid)
	}
	if err != nil {
		part.Close()
		return nil, err
	}
	return part, nil
}

// unmountAll ends what is mounted on a path.
func unmountAll(target string) error {
	for {
		err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) { // nothing is, or there is no such path
			return nil
		}
		if err != nil {
			return &os.PathError{Op: "unmount", Path: target, Err: err}
		}
	}
}

// makeLike makes a mount point: a directory for a directory, a file for everything else.
func makeLike(part *os.File, target string) error {
	info, err := part.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Lstat(target); err == nil {
		if there.IsDir() == info.IsDir() {
			return nil
		}
		if err := os.Remove(target); err != nil {
			return err
		}
	}
	if info.IsDir() {
		return os.MkdirAll(target, 0o750)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return err
	}
	return os.WriteFile(target, nil, 0o640)
}
