package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"dhow/container/shim"
)

// Reset removes every pod and container of a state directory and every control group below the parent, also
// what no record knows. Nothing may Run on the directory.
func Reset(ctx context.Context, c Config) error {
	failed := resetSandboxes(ctx, c)
	killAll(c.StateDir)
	if err := resetGroups(c.CgroupParent); err != nil {
		failed = errors.Join(failed, err)
	}
	RemoveEmptyGroups(c.CgroupParent)
	return errors.Join(failed, os.RemoveAll(c.StateDir))
}

func resetSandboxes(ctx context.Context, c Config) error {
	if _, err := os.Stat(c.StateDir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	e, err := New(c)
	if err != nil {
		return err
	}
	var failed error
	for id := range e.sandboxes {
		failed = errors.Join(failed, e.RemovePodSandbox(ctx, id))
	}
	return failed
}

// killAll ends shims whose records are lost.
func killAll(stateDir string) {
	prefix := []byte(shim.Part + "\x00" + filepath.Clean(stateDir) + "/")
	for _, pid := range processes() {
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && bytes.HasPrefix(cmdline, prefix) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// resetGroups kills what is in the groups below parent, and removes them and it.
func resetGroups(parent string) error {
	mounts, err := groupMounts()
	if err != nil {
		return err
	}
	var failed error
	for _, mount := range mounts {
		dir := filepath.Join(mount, parent)
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		failed = errors.Join(failed, killGroup(parent, 0), removeTree(dir))
	}
	return failed
}

// groupMounts are the mount points of the machine's cgroup hierarchies.
func groupMounts() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var mounts []string
	for line := range strings.Lines(string(data)) {
		before, after, ok := strings.Cut(line, " - ")
		if ok && strings.HasPrefix(after, "cgroup") {
			mounts = append(mounts, strings.Fields(before)[4])
		}
	}
	return mounts, nil
}

// removeTree removes a group's directories, the deepest first: their files are the kernel's.
func removeTree(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var failed error
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := removeDir(dirs[i]); err != nil {
			failed = errors.Join(failed, fmt.Errorf("remove cgroup %s: %w", dirs[i], err))
		}
	}
	return failed
}
