package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"dhow/container/cgroups"
	"dhow/container/processes"
	"dhow/container/shim"
)

// Reset removes every pod and container of a state directory and every control group below the parent, also
// what no record knows. Nothing may Run on the directory.
func Reset(ctx context.Context, c Config) error {
	c.setDefaults()
	failed := resetSandboxes(ctx, c)
	killAll(c.StateDir)
	failed = errors.Join(failed, cgroups.Group(c.CgroupParent).Reset())
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
	for _, pid := range processes.All() {
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && bytes.HasPrefix(cmdline, prefix) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}
