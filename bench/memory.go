package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// binary weighs the program itself.
func (b *bench) binary() error {
	data, err := os.ReadFile(b.dhow)
	if err != nil {
		return err
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return err
	}
	figure("binary", mb(int64(len(data))), "100 MB")
	figure("binary, zstd", mb(int64(len(enc.EncodeAll(data, nil)))), "30 MB")
	return nil
}

// idleMemory is the daemon's resident set some seconds after start-up, when it has given memory back.
func (b *bench) idleMemory() error {
	select {
	case <-time.After(15 * time.Second):
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
	rss, err := statusBytes(b.server.Process.Pid, "VmRSS:")
	if err != nil {
		return err
	}
	figure("daemon RSS, idle after 15 s", mb(rss), "120 MB")
	return nil
}

// podMemory is the daemon's resident set with n pods, and the mean private memory of the pods' shims.
func (b *bench) podMemory(n int) error {
	rss, err := statusBytes(b.server.Process.Pid, "VmRSS:")
	if err != nil {
		return err
	}
	figure(fmt.Sprintf("daemon RSS with %d pods", n), mb(rss), "-")
	shims, err := b.shims()
	if err != nil {
		return err
	}
	var sum int64
	for _, pid := range shims {
		private, err := privateBytes(pid)
		if err != nil {
			return err
		}
		sum += private
	}
	if len(shims) != n {
		return fmt.Errorf("%d shims run for %d pods", len(shims), n)
	}
	figure("private memory per pod (its shim)", mb(sum/int64(n)), "1.2 MB")
	return nil
}

// shims are the processes named dhow-shim whose state lies under this run's root.
func (b *bench) shims() ([]int, error) {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, path := range lines {
		cmdline, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(cmdline, []byte("dhow-shim")) || !bytes.Contains(cmdline, []byte(b.dir)) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func statusBytes(pid int, key string) (int64, error) {
	return sumLines(fmt.Sprintf("/proc/%d/status", pid), key)
}

func privateBytes(pid int) (int64, error) {
	return sumLines(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Private_Clean:", "Private_Dirty:")
}

// sumLines adds up the kB of the lines that start with one of keys (proc_pid_status(5), proc_pid_smaps(5)).
func sumLines(path string, keys ...string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var sum int64
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		for _, key := range keys {
			if len(fields) > 1 && fields[0] == key {
				kb, err := strconv.ParseInt(fields[1], 10, 64)
				if err != nil {
					return 0, fmt.Errorf("%s: %w", path, err)
				}
				sum += kb * 1024
			}
		}
	}
	return sum, nil
}

func mb(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
