package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	library "github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// Processes are those in the group and below, by their numbers. A group that is gone has none.
func (g Group) Processes() ([]int, error) {
	m, err := g.plain()
	if err != nil {
		return nil, err
	}
	pids, err := members(dirs(m))
	if err != nil {
		return nil, fmt.Errorf("processes of cgroup %s: %w", g, err)
	}
	return pids, nil
}

// members are the processes in and below a group. All hierarchies have the same ones, but a group need not be in each.
func members(dirs []string) ([]int, error) {
	for _, dir := range dirs {
		pids, err := library.GetAllPids(dir)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENODEV) { // it goes before it is opened, or before it is read
			return pids, err
		}
	}
	return nil, nil
}

// Kill sends SIGKILL to every process in the group and below, also to those that are frozen or made meanwhile, and does
// not wait for their end. This process and those that are spared may have threads in groups of version 1 while they fork
// (shim.InGroups): they live on.
func (g Group) Kill(spared ...int) error {
	m, err := g.plain()
	if err != nil {
		return err
	}
	if V2() {
		for _, dir := range dirs(m) {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0o644); err == nil {
				return nil // Linux 5.14
			}
		}
	}
	if err := killMembers(dirs(m), append(spared, os.Getpid())); err != nil {
		return fmt.Errorf("cgroup %s: %w", g, err)
	}
	thaw(g.File("freezer", "", "")) // under version 1, what is frozen cannot end
	return nil
}

// killMembers kills until it sees none that it has not killed: they may fork meanwhile.
func killMembers(dirs []string, spared []int) error {
	killed := map[int]bool{}
	for {
		pids, err := members(dirs)
		if err != nil {
			return err
		}
		fresh := false
		for _, pid := range pids {
			if slices.Contains(spared, pid) {
				continue
			}
			fresh = fresh || !killed[pid]
			killed[pid] = true // and once more if it is still there: by now the number may be another's, who was forked meanwhile
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
		if !fresh {
			return nil
		}
	}
}

// Freeze stops all processes in the group and below; it returns when they stand still.
func (g Group) Freeze() error {
	m, err := g.plain()
	if err != nil {
		return err
	}
	return m.Freeze(library.Frozen)
}

// Thaw lets them go on. A group that is not frozen itself, or gone, is no error.
func (g Group) Thaw() error {
	m, err := g.plain()
	if err != nil {
		return err
	}
	if state, err := m.GetFreezerState(); err != nil || state != library.Frozen {
		return nil // also where there is no freezer
	}
	if err := m.Freeze(library.Thawed); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Frozen says whether the group itself is.
func (g Group) Frozen() bool {
	m, err := g.plain()
	if err != nil {
		return false
	}
	state, err := m.GetFreezerState()
	return err == nil && state == library.Frozen
}
