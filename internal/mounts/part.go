package mounts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
	part, err := openIn(root, path)
	if errors.Is(err, unix.ENOENT) {
		part, err = makePart(root, path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s in %s: %w", path, volume, err)
	}
	return part, nil
}

// openIn opens a path as it is for a process whose root is the directory: links and ".." stay inside.
func openIn(root *os.File, path string) (*os.File, error) {
	fd, err := unix.Openat2(int(root.Fd()), filepath.Join(".", filepath.Clean("/"+path)), &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// makePart makes the directories of a path that are missing, like the volume's own, and opens the last.
func makePart(root *os.File, path string) (*os.File, error) {
	info, err := root.Stat()
	if err != nil {
		return nil, err
	}
	path = filepath.Clean("/" + path)
	above := filepath.Dir(path)
	parent, err := openIn(root, above)
	if errors.Is(err, unix.ENOENT) && above != path {
		parent, err = makePart(root, above)
	}
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	if err := unix.Mkdirat(int(parent.Fd()), filepath.Base(path), uint32(info.Mode().Perm())); err != nil {
		return nil, err // a link to what is missing is there already
	}
	fd, err := unix.Openat(int(parent.Fd()), filepath.Base(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	made := os.NewFile(uintptr(fd), path)
	if err := like(info, made); err != nil {
		made.Close()
		return nil, err
	}
	return made, nil
}

// like gives a new directory the volume's mode, whatever this process' umask.
func like(volume os.FileInfo, made *os.File) error {
	info, err := made.Stat()
	if err != nil {
		return err
	}
	return os.Chmod(fmt.Sprintf("/proc/self/fd/%d", made.Fd()), volume.Mode().Perm()|info.Mode()&os.ModeSetgid)
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
