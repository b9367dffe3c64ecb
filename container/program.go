package container

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// lowestProgramFD is above the descriptors that a shim is started with.
const lowestProgramFD = 16

// program opens the shim's binary in a way that nobody can write to it by: a container that executes
// /proc/self/exe holds the file of whatever started it (CVE-2019-5736). It is a read-only mount of the file that is
// mounted nowhere. Where that cannot be had, because the file is gone or of another mount namespace, it is a sealed copy.
func program(path string) (*os.File, error) {
	fd, err := readOnlyMount(path)
	if err != nil {
		fd, err = sealedCopy(path)
	}
	if err != nil {
		return nil, fmt.Errorf("the shim's program %s: %w", path, err)
	}
	defer unix.Close(fd)
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, lowestProgramFD)
	if err != nil {
		return nil, fmt.Errorf("the shim's program %s: %w", path, err)
	}
	return os.NewFile(uintptr(high), "program"), nil
}

func readOnlyMount(link string) (int, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, link, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		path, pathErr := samePath(link)
		if pathErr != nil {
			return -1, err
		}
		if fd, err = unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC); err != nil {
			return -1, err
		}
	}
	err = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// samePath is where the link's file is found in this mount namespace.
func samePath(link string) (string, error) {
	path, err := os.Readlink(link)
	if err != nil {
		return "", err
	}
	here, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	file, err := os.Stat(link)
	if err != nil {
		return "", err
	}
	if !os.SameFile(here, file) {
		return "", fmt.Errorf("%s is another file by now", path)
	}
	return path, nil
}

func sealedCopy(path string) (int, error) {
	from, err := os.Open(path)
	if err != nil {
		return -1, err
	}
	defer from.Close()
	fd, err := unix.MemfdCreate("dhow", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, err
	}
	to := os.NewFile(uintptr(fd), "dhow")
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return -1, err
	}
	const all = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, all); err != nil {
		return -1, err
	}
	// What is open for writing cannot be executed.
	return unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
}
