package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dhow/container/oci/inside"
)

// Run has a created container execute its command.
func (c *Container) Run() error {
	switch status := c.Status(); status {
	case specs.StateCreated:
	case specs.StateStopped:
		return errors.New("cannot start a container that has stopped")
	case specs.StateRunning, Paused:
		return errors.New("cannot start an already running container")
	default:
		return fmt.Errorf("cannot start a container in the %s state", status)
	}
	if err := c.release(); err != nil {
		return err
	}
	if err := c.hooks("poststart", specs.StateRunning); err != nil {
		_ = unix.Kill(c.record.Pid, unix.SIGKILL)
		return err
	}
	return nil
}

// release tells init to go on, and reads why it could not.
func (c *Container) release() error {
	end, err := os.OpenFile(filepath.Join(c.dir, endFIFO), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer end.Close()
	begin, err := os.OpenFile(filepath.Join(c.dir, startFIFO), os.O_WRONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) {
		return errors.New("cannot start a container that has stopped")
	}
	if err != nil {
		return err
	}
	_, err = begin.WriteString("0")
	err = errors.Join(err, begin.Close())
	if err != nil {
		return err
	}
	said, err := io.ReadAll(end) // until init executes its command, or ends
	err = errors.Join(err, os.Remove(filepath.Join(c.dir, startFIFO)), os.Remove(filepath.Join(c.dir, endFIFO)))
	if err != nil || len(said) == 0 {
		return err
	}
	var m inside.Message
	if err := json.Unmarshal(said, &m); err != nil {
		return err
	}
	return &inside.Failure{Code: m.Code, Message: m.Error}
}

// groupDirs are a container's groups, each once.
func groupDirs(paths map[string]string) []string {
	dirs := slices.Sorted(maps.Values(paths))
	dirs = slices.Compact(dirs)
	return slices.DeleteFunc(dirs, func(dir string) bool {
		_, err := os.Stat(dir)
		return err != nil
	})
}
