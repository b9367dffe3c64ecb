// Package memory keeps the program's resident set small: a limit from its control group, and what start-up used
// given back to the kernel.
package memory

import (
	"bufio"
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Limit makes the collector work a little more for a heap half as big, and hold to nine tenths of the memory that
// the control group allows, if it says.
func Limit() {
	debug.SetGCPercent(50)
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

// settle is how long after the last part has started the start-up's memory is given back.
const settle = 3 * time.Second

// GiveBack frees what start-up used, a while after it: heap, and the pages of this program's file that only its
// initialisation needed. They come back from the page cache when they are touched.
func GiveBack(ctx context.Context, log *slog.Logger) {
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return
	}
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
