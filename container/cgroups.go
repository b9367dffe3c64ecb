package container

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // lets managers set device rules
	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/cgroups/manager"
	"golang.org/x/sys/unix"
)

// makeGroup makes a control group, in every hierarchy of version 1 or the one of version 2, with its limits, and
// returns its directories.
func makeGroup(group string, r *cgroups.Resources) ([]string, error) {
	m, err := groupManager(group, r)
	if err != nil {
		return nil, err
	}
	err = m.Apply(-1)
	for range 10 { // somebody may be removing its parents, which have just become empty
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		err = m.Apply(-1)
	}
	if err != nil {
		return nil, fmt.Errorf("make cgroup %s: %w", group, err)
	}
	if err := m.Set(r); err != nil {
		return nil, errors.Join(fmt.Errorf("set limits of cgroup %s: %w", group, err), m.Destroy())
	}
	// A hierarchy that has nothing to limit may have been passed over.
	return slices.DeleteFunc(groupDirs(m), func(dir string) bool {
		_, err := os.Stat(dir)
		return err != nil
	}), nil
}

func groupManager(group string, r *cgroups.Resources) (cgroups.Manager, error) {
	tops, err := hierarchies()
	if err != nil {
		return nil, fmt.Errorf("cgroup %s: %w", group, err)
	}
	paths := make(map[string]string, len(tops))
	for controller, top := range tops {
		paths[controller] = filepath.Join(top, group)
	}
	m, err := manager.NewWithPaths(&cgroups.Cgroup{Path: group, Resources: r}, paths)
	if err != nil {
		return nil, fmt.Errorf("cgroup %s: %w", group, err)
	}
	return m, nil
}

// hierarchies are where the machine's control groups begin, by controller; under version 2 there is one, without a name.
// They are looked for once: it takes longer than to make a group.
var hierarchies = sync.OnceValues(func() (map[string]string, error) {
	const probe = "/dhow-where" // never made
	m, err := manager.New(&cgroups.Cgroup{Path: probe, Resources: &cgroups.Resources{}})
	if err != nil {
		return nil, err
	}
	tops := map[string]string{}
	for controller, dir := range m.GetPaths() {
		tops[controller] = strings.TrimSuffix(dir, probe)
	}
	return tops, nil
})

// hasController says whether the machine's groups can limit by a controller.
func hasController(name string) bool {
	tops, err := hierarchies()
	if err != nil {
		return false
	}
	if !cgroups.IsCgroup2UnifiedMode() {
		return tops[name] != ""
	}
	data, err := os.ReadFile(filepath.Join(tops[""], "cgroup.controllers"))
	return err == nil && slices.Contains(strings.Fields(string(data)), name)
}

func groupDirs(m cgroups.Manager) []string {
	dirs := slices.Collect(maps.Values(m.GetPaths()))
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// removeGroup removes a group whose processes have ended; one that is gone already is no error.
func removeGroup(group string) error {
	m, err := groupManager(group, &cgroups.Resources{SkipDevices: true})
	if err != nil {
		return err
	}
	deadline := time.Now().Add(dying)
	for {
		if err = m.Destroy(); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove cgroup %s: %w", group, err)
		}
	}
}

// dying is how long processes that were killed may stay in their group: on a busy machine, or with little processor time
// of their own, they are slow to end. Destroy waits a moment between its own tries.
const dying = 5 * time.Second

// removeEmptyParents removes a pod's group and those above it that have become empty, up to but not with top.
func removeEmptyParents(group, top string) {
	for ; group != top && len(group) > len(top); group = path.Dir(group) {
		m, err := groupManager(group, &cgroups.Resources{SkipDevices: true})
		if err != nil {
			return
		}
		for _, dir := range groupDirs(m) {
			_ = unix.Rmdir(dir) // not empty: others are in it
		}
	}
}

// RemoveEmptyGroups removes Config's CgroupParent and the groups that it was made in, if nothing is in them. An engine does
// so when its Run ends; where none Runs it is for whoever removes containers: to make them anew for each takes a millisecond.
func RemoveEmptyGroups(parent string) { removeEmptyParents(parent, "/") }

// killGroup kills every process in a group and below, but not this one and the shim: they have threads there while
// they fork (shim.InGroups).
func killGroup(group string, shimPID int) error {
	m, err := groupManager(group, &cgroups.Resources{SkipDevices: true})
	if err != nil {
		return err
	}
	if cgroups.IsCgroup2UnifiedMode() {
		for _, dir := range groupDirs(m) {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0o644); err == nil {
				return nil // Linux 5.14
			}
		}
	}
	pids, err := members(groupDirs(m))
	if err != nil {
		return fmt.Errorf("processes of cgroup %s: %w", group, err)
	}
	for _, pid := range pids {
		if pid == os.Getpid() || pid == shimPID {
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill process %d: %w", pid, err)
		}
	}
	return nil
}

// members are the processes in and below a group. All hierarchies have the same ones, but a group need not be in each.
func members(dirs []string) ([]int, error) {
	for _, dir := range dirs {
		pids, err := cgroups.GetAllPids(dir)
		if !errors.Is(err, fs.ErrNotExist) {
			return pids, err
		}
	}
	return nil, nil
}

// deviceRules forbid everything but making nodes, and the devices that every container has (runtime-spec).
func deviceRules(privileged bool, extra []*devices.Rule) []*devices.Rule {
	if privileged {
		return []*devices.Rule{{Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "rwm", Allow: true}}
	}
	char := func(major, minor int64, permissions devices.Permissions) *devices.Rule {
		return &devices.Rule{Type: devices.CharDevice, Major: major, Minor: minor, Permissions: permissions, Allow: true}
	}
	rules := []*devices.Rule{
		{Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "rwm", Allow: false},
		char(devices.Wildcard, devices.Wildcard, "m"),
		{Type: devices.BlockDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "m", Allow: true},
		char(1, 3, "rwm"), char(1, 5, "rwm"), char(1, 7, "rwm"), char(1, 8, "rwm"), char(1, 9, "rwm"), // null zero full random urandom
		char(5, 0, "rwm"), char(5, 2, "rwm"), char(5, 1, "rwm"), // tty ptmx console
		char(136, devices.Wildcard, "rwm"), // terminals
	}
	return append(rules, extra...)
}

// removeDir removes a group's directory. The kernel says that it is busy until its last process is reaped.
func removeDir(dir string) error {
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		select {
		case <-tick.C:
		case <-deadline:
			return err
		}
	}
}
