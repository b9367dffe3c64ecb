package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// needs are what programs ask of a machine. One whose machine has none of it says nothing of the runtime.
var needs = []struct {
	programs []string
	missing  func() string
}{
	{[]string{"linux_cgroups_hugetlb", "linux_cgroups_relative_hugetlb"}, controller("hugetlb")},
	{[]string{"linux_cgroups_network", "linux_cgroups_relative_network"}, controller("net_cls", "net_prio")},
	{[]string{"linux_cgroups_blkio", "linux_cgroups_relative_blkio"}, noLeafWeight},
	{[]string{"linux_process_apparmor_profile"}, noAppArmor},
	{[]string{"linux_mount_label"}, noSELinux},
	{[]string{"process_capabilities", "linux_rootfs_propagation"}, noCapability},
}

// cannot says why a program cannot judge on this machine; empty: it can.
func cannot(program string) string {
	for _, n := range needs {
		for _, name := range n.programs {
			if name == program {
				return n.missing()
			}
		}
	}
	return ""
}

// controller is for programs that set limits of cgroup version 1.
func controller(names ...string) func() string {
	return func() string {
		for _, name := range names {
			if _, err := os.Stat("/sys/fs/cgroup/" + name); err != nil {
				return fmt.Sprintf("this machine has the cgroup controller %s not mounted", name)
			}
		}
		return ""
	}
}

func noLeafWeight() string {
	if found, _ := filepath.Glob("/sys/fs/cgroup/blkio/*/blkio.leaf_weight"); len(found) == 0 {
		return "this kernel has no blkio.leaf_weight (Linux has had none since 5.0)"
	}
	return ""
}

func noAppArmor() string {
	if data, err := os.ReadFile("/sys/module/apparmor/parameters/enabled"); err != nil || !strings.HasPrefix(string(data), "Y") {
		return "this kernel has no AppArmor"
	}
	return ""
}

func noSELinux() string {
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil {
		return "this kernel has no SELinux"
	}
	return ""
}

// noCapability is for programs that want all capabilities: what this process may never have, no container of its can.
func noCapability() string {
	const all = "000001ffffffffff"
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(data)) {
		if held, ok := strings.CutPrefix(line, "CapBnd:"); ok && strings.TrimSpace(held) != all {
			return fmt.Sprintf("not all capabilities can be had here (CapBnd is %s)", strings.TrimSpace(held))
		}
	}
	return ""
}
