package agentapi

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
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

// machinePressure is how long tasks of the whole machine have waited for a resource (Documentation/accounting/psi.rst); nil
// where the kernel does not tell.
func machinePressure(resource string) *statsapi.PSIStats {
	data, err := os.ReadFile("/proc/pressure/" + resource)
	if err != nil {
		return nil
	}
	var p statsapi.PSIStats
	for line := range strings.Lines(string(data)) {
		var kind string
		var d statsapi.PSIData
		if _, err := fmt.Sscanf(line, "%s avg10=%f avg60=%f avg300=%f total=%d", &kind, &d.Avg10, &d.Avg60, &d.Avg300, &d.Total); err != nil {
			return nil
		}
		switch kind {
		case "some":
			p.Some = d
		case "full":
			p.Full = d
		}
	}
	return &p
}
