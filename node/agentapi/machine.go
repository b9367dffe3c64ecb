package agentapi

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// tick is how long the kernel's unit of processor time is (USER_HZ is 100 on Linux).
const tick = 10_000_000 // nanoseconds

// busyNanoseconds is how long all processors together have worked since the machine started.
func busyNanoseconds() (uint64, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	fields := strings.Fields(line)
	if len(fields) < 6 {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var busy uint64
	for i, text := range fields[1:] {
		if i == 3 || i == 4 { // idle, iowait
			continue
		}
		if i > 7 { // guest time is in user time
			break
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		busy += n
	}
	return busy * tick, nil
}

// meminfo is the machine's memory and how much of it could be had, in bytes.
func meminfo() (total, available uint64, err error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = n << 10
		case "MemAvailable:":
			available = n << 10
		}
	}
	return total, available, nil
}
