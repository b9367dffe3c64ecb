// Package memory keeps the program's resident set small: a limit from its control group, and what start-up used
// given back to the kernel.
package memory

import (
	"bufio"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limit holds the program to nine tenths of the memory that its control group allows, if it says, and lets the
// collector rest while the program starts: Pace takes over from there.
func Limit() {
	debug.SetGCPercent(startPercent)
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil && n < 1<<40 {
			debug.SetMemoryLimit(n / 10 * 9)
		}
	}
}

// giveBack frees what the program used while it was busy: heap, and the pages of its file that only its start
// needed. They come back from the page cache when they are touched.
func giveBack(log *slog.Logger) {
	debug.FreeOSMemory()
	if err := dropText(); err != nil {
		log.Debug("pages of the program's file were kept", "err", err)
	}
}

// dropText tells the kernel that the clean pages of this program's file are not needed (madvise(2)).
func dropText() error {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[5] != exe || strings.Contains(fields[1], "w") {
			continue
		}
		if err := drop(fields[0]); err != nil {
			return err
		}
	}
	return lines.Err()
}

func drop(span string) error {
	from, to, _ := strings.Cut(span, "-")
	start, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return err
	}
	end, err := strconv.ParseUint(to, 16, 64)
	if err != nil {
		return err
	}
	_, _, e := unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
	if e != 0 {
		return e
	}
	return nil
}
