package processes

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Life is when a process started, in clock ticks since boot (proc_pid_stat(5), field 22), and whether it still lives: one that
// waits to be reaped does not. Number and start together are of one process only. Start is 0 when it is gone.
func Life(pid int) (start uint64, living bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:]) // the name may hold anything
	if len(fields) < 20 {
		return 0, false
	}
	start, err = strconv.ParseUint(string(fields[19]), 10, 64)
	state := string(fields[0])
	return start, err == nil && state != "Z" && state != "X"
}
