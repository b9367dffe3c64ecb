package shim

import (
	"fmt"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// procFiles may be mounted over in /proc: they say what the container may use, and protect nothing.
var procFiles = []string{
	"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg", "/proc/slabinfo",
	"/proc/net/dev", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
}

// guardProc refuses to mount on what is a part of a procfs, however its path came there: by links of an image, or of a
// volume that another container changes meanwhile. Who chooses what is in /proc chooses what confines the command
// (CVE-2019-16884, CVE-2025-52881). Another procfs may cover the whole of it.
func guardProc(at, mount int, name string) error {
	if fileSystem(at) != unix.PROC_SUPER_MAGIC || slices.Contains(procFiles, path.Clean(name)) {
		return nil
	}
	if path.Clean(name) == "/proc" && mount >= 0 && fileSystem(mount) == unix.PROC_SUPER_MAGIC && isProcRoot(mount) {
		return nil
	}
	return fmt.Errorf("%q cannot be mounted because it is inside /proc", name)
}

// fileSystem is the type of the one that a file is on (statfs(2)); 0 if that cannot be known.
func fileSystem(fd int) int64 {
	var fs unix.Statfs_t
	if unix.Fstatfs(fd, &fs) != nil {
		return 0
	}
	return fs.Type
}

// isProcRoot tells whether a directory of a procfs is its uppermost (PROC_ROOT_INO in the kernel's proc_fs.h).
func isProcRoot(fd int) bool {
	const rootInode = 1
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Ino == rootInode
}

// openProc opens a file below /proc if it is the kernel's, with nothing mounted over /proc or what is in it.
func openProc(name string, flags int) (int, error) {
	dir, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	if fileSystem(dir) != unix.PROC_SUPER_MAGIC || !isProcRoot(dir) {
		return -1, fmt.Errorf("/proc is not the kernel's: %w", unix.EXDEV)
	}
	return unix.Openat2(dir, name, &unix.OpenHow{
		Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS,
	})
}
