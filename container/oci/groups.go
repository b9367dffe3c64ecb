package oci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // lets managers set device rules
	"github.com/opencontainers/cgroups/manager"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"dhow/container/oci/bundle"
)

// group is the control groups of a container: their path is cgroupsPath, or the container's name below this
// process' own groups. Directories that are known need not be looked for.
func group(id, path string, useSystemd bool, r *cgroups.Resources, known map[string]string) (cgroups.Manager, error) {
	config := &cgroups.Cgroup{Path: path, Systemd: useSystemd, Resources: r}
	if useSystemd {
		config.Path = ""
		if err := systemdName(config, id, path); err != nil {
			return nil, err
		}
	} else if path == "" {
		config.Path = id
	}
	m, err := manager.NewWithPaths(config, known)
	if err != nil {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	return m, nil
}

// makeGroups makes the container's groups with their limits. The directories are nil where systemd makes them later.
func (c *Container) makeGroups() (cgroups.Manager, []string, error) {
	limits, err := limits(c.Spec.Linux.Resources)
	if err != nil {
		return nil, nil, err
	}
	m, err := group(c.ID, c.Spec.Linux.CgroupsPath, c.Systemd, limits, nil)
	if err != nil {
		return nil, nil, err
	}
	if m.Exists() {
		if pids, err := m.GetAllPids(); err == nil && len(pids) > 0 {
			return nil, nil, fmt.Errorf("container's cgroup is not empty: %d process(es) found", len(pids))
		}
	}
	if c.Systemd {
		return m, nil, nil
	}
	if err := m.Apply(-1); err != nil {
		return nil, nil, fmt.Errorf("unable to apply cgroup configuration: %w", err)
	}
	if err := c.setLimits(m, limits, c.Spec.Linux.Resources); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("error setting cgroup config for procHooks process: %w", err), m.Destroy())
	}
	c.CgroupPaths = m.GetPaths()
	return m, groupDirs(c.CgroupPaths), nil
}

func limits(r *specs.LinuxResources) (*cgroups.Resources, error) {
	out, err := bundle.Resources(r)
	if err != nil {
		return nil, err
	}
	var rules []specs.LinuxDeviceCgroup
	if r != nil {
		rules = r.Devices
	}
	out.SkipDevices = false
	out.Devices, err = bundle.DeviceRules(rules)
	return out, err
}

// setLimits sets what the library does, and what it does no more.
func (c *Container) setLimits(m cgroups.Manager, limits *cgroups.Resources, r *specs.LinuxResources) error {
	if err := m.Set(limits); err != nil || r == nil || r.Memory == nil {
		return err
	}
	if r.Memory.Kernel != nil {
		c.log.Warn("linux.resources.memory.kernel is left out: Linux has had no such limit since 5.16")
	}
	if r.Memory.KernelTCP == nil || m.Path("memory") == "" {
		return nil
	}
	file := filepath.Join(m.Path("memory"), "memory.kmem.tcp.limit_in_bytes")
	if err := os.WriteFile(file, strconv.AppendInt(nil, *r.Memory.KernelTCP, 10), 0); err != nil {
		return fmt.Errorf("linux.resources.memory.kernelTCP: %w", err)
	}
	return nil
}

func (c *Container) applySystemd(m cgroups.Manager, pid int) error {
	r := c.Spec.Linux.Resources
	if err := m.Apply(pid); err != nil {
		return fmt.Errorf("unable to apply cgroup configuration: %w", err)
	}
	limits, err := limits(r)
	if err != nil {
		return err
	}
	return c.setLimits(m, limits, r)
}

// systemdName reads "slice:prefix:name".
func systemdName(c *cgroups.Cgroup, id, path string) error {
	if path == "" {
		c.Parent, c.ScopePrefix, c.Name = "system.slice", "dhow", id
		return nil
	}
	parts := strings.Split(path, ":")
	if len(parts) != 3 {
		return fmt.Errorf("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got %q instead", path)
	}
	c.Parent, c.ScopePrefix, c.Name = parts[0], parts[1], parts[2]
	return nil
}
