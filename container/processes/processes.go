// Package processes tells what the machine knows of processes (proc(5)).
package processes

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Process is one as the machine sees it.
type Process struct {
	PID, PPID int
	// InnerPID is its number in its own namespace.
	InnerPID int
	UID, GID int
	Threads  int
	// State is a letter: R, S, D, T, Z … (proc_pid_stat(5)).
	State string
	// TTY is the device of its terminal as the kernel numbers it; 0: none.
	TTY     uint64
	Started time.Time
	// CPU is the time it has used, in user and kernel mode.
	CPU time.Duration
	// RSS and VSize in bytes.
	RSS, VSize uint64
	// Name is the kernel's, Args the command line; without arguments it is a kernel's thread or has ended.
	Name string
	Args []string
}

// clockTicks per second (USER_HZ), the same on every machine that Go runs on.
const clockTicks = 100

// Read is what the kernel tells of processes, by their numbers and in their order. Those that have ended are left out.
func Read(pids []int) ([]Process, error) {
	boot, err := bootTime()
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, pid := range pids {
		if p, err := read(pid, boot); err == nil {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b Process) int { return a.PID - b.PID })
	return all, nil
}

// All are the numbers of all processes that this one sees.
func All() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func bootTime() (time.Time, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return time.Time{}, err
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, "btime "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			return time.Unix(n, 0), err
		}
	}
	return time.Time{}, fmt.Errorf("/proc/stat does not tell when the machine started")
}

// read reads /proc/PID (proc_pid_stat(5), proc_pid_status(5)).
func read(pid int, boot time.Time) (Process, error) {
	p := Process{PID: pid}
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return p, err
	}
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	if open < 0 || end < open || len(fields) < 22 {
		return p, fmt.Errorf("%sstat cannot be read", dir)
	}
	number := func(field int) uint64 { // as the manual counts them
		n, _ := strconv.ParseUint(fields[field-3], 10, 64)
		return n
	}
	p.Name, p.State = string(stat[open+1:end]), fields[0]
	p.PPID, p.TTY, p.Threads = int(number(4)), number(7), int(number(20))
	p.CPU = time.Duration(number(14)+number(15)) * time.Second / clockTicks
	p.Started = boot.Add(time.Duration(number(22)) * time.Second / clockTicks)
	p.VSize, p.RSS = number(23), number(24)*uint64(os.Getpagesize())
	cmdline, err := os.ReadFile(dir + "cmdline")
	if err != nil {
		return p, err
	}
	if len(cmdline) > 0 {
		p.Args = strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
	}
	return p, p.readStatus(dir + "status")
}

func (p *Process) readStatus(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		switch key {
		case "Uid":
			p.UID, _ = strconv.Atoi(fields[min(1, len(fields)-1)]) // the effective one
		case "Gid":
			p.GID, _ = strconv.Atoi(fields[min(1, len(fields)-1)])
		case "NSpid":
			p.InnerPID, _ = strconv.Atoi(fields[len(fields)-1])
		}
	}
	return nil
}
