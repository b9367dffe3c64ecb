// Package kernel says which features the server needs the running kernel lacks, in words that name the option that
// would give them.
package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
)

// Machine is where a kernel tells of itself; the zero value is the one that runs.
type Machine struct {
	// Proc is the proc file system, "/proc" if empty.
	Proc string
	// Cgroup is where control groups are mounted, "/sys/fs/cgroup" if empty.
	Cgroup string
	// Tables lists nftables' tables, as a trial; the real ones if nil.
	Tables func() error
}

// Check returns an error that names all features that are missing, nil when there are all.
func (m Machine) Check() error {
	if m.Proc == "" {
		m.Proc = "/proc"
	}
	if m.Cgroup == "" {
		m.Cgroup = "/sys/fs/cgroup"
	}
	if m.Tables == nil {
		m.Tables = listTables
	}
	return errors.Join(m.fileSystems(), m.namespaces(), m.controllers(), m.packetFilter())
}

func missing(what, option string) error {
	return fmt.Errorf("this kernel lacks %s, which dhow needs (%s)", what, option)
}

// fileSystems: images are layers of overlay, secrets lie in tmpfs.
func (m Machine) fileSystems() error {
	data, err := os.ReadFile(filepath.Join(m.Proc, "filesystems"))
	if err != nil {
		return err
	}
	known := strings.Fields(string(data))
	var failed error
	for name, option := range map[string]string{"overlay": "CONFIG_OVERLAY_FS; try modprobe overlay", "tmpfs": "CONFIG_TMPFS"} {
		if !slices.Contains(known, name) {
			failed = errors.Join(failed, missing("the "+name+" file system", option))
		}
	}
	return failed
}

func (m Machine) namespaces() error {
	var failed error
	for name, option := range map[string]string{"net": "CONFIG_NET_NS", "pid": "CONFIG_PID_NS", "ipc": "CONFIG_IPC_NS", "uts": "CONFIG_UTS_NS", "mnt": "CONFIG_NAMESPACES", "cgroup": "CONFIG_CGROUPS"} {
		if _, err := os.Lstat(filepath.Join(m.Proc, "self/ns", name)); err != nil {
			failed = errors.Join(failed, missing(name+" namespaces", option))
		}
	}
	return failed
}

// controllers of cgroups that limits are set by: those of version 2 are listed where it is mounted, those of version 1
// in /proc/cgroups (cgroups(7)).
func (m Machine) controllers() error {
	enabled := map[string]bool{}
	if data, err := os.ReadFile(filepath.Join(m.Cgroup, "cgroup.controllers")); err == nil {
		for _, name := range strings.Fields(string(data)) {
			enabled[name] = true
		}
	}
	data, err := os.ReadFile(filepath.Join(m.Proc, "cgroups"))
	if err != nil && len(enabled) == 0 {
		return missing("control groups", "CONFIG_CGROUPS")
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 4 && fields[3] == "1" {
			enabled[fields[0]] = true
		}
	}
	var failed error
	for name, option := range map[string]string{
		"memory": "CONFIG_MEMCG; on some machines the kernel's command line must say cgroup_enable=memory", "cpu": "CONFIG_CGROUP_SCHED", "pids": "CONFIG_CGROUP_PIDS",
	} {
		if !enabled[name] {
			failed = errors.Join(failed, missing("the "+name+" controller of cgroups", option))
		}
	}
	return failed
}

func (m Machine) packetFilter() error {
	if err := m.Tables(); err != nil {
		return fmt.Errorf("%w: %w", missing("nftables", "CONFIG_NF_TABLES; try modprobe nf_tables"), err)
	}
	return nil
}

func listTables() error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	_, err = conn.ListTables()
	return err
}
