// Package confine says what the kernel keeps a container's process from: the capabilities that it has, its seccomp filter,
// the labels of security modules, the kernel parameters that are its own. It changes no process itself.
package confine

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// capabilityNames are in the order of their numbers (linux/capability.h).
var capabilityNames = []string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
	"NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
	"SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
	"AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
	"PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

// defaultCapabilities are docker's, without CAP_.
var defaultCapabilities = []string{
	"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE",
	"SYS_CHROOT", "KILL", "AUDIT_WRITE",
}

// all is a mask of every one.
var all = uint64(1)<<len(capabilityNames) - 1

// Capabilities is the mask (capabilities(7)) of those that a process may have by its configuration, and that this program
// itself has. ALL comes before names, so that one can have all but some, or none but some; of names, those that are added
// win.
func Capabilities(s *cri.LinuxContainerSecurityContext) (uint64, error) {
	own, err := OwnCapabilities()
	if err != nil || s.GetPrivileged() {
		return own, err
	}
	add, addAll, err := named(s.GetCapabilities().GetAddCapabilities())
	if err != nil {
		return 0, err
	}
	drop, dropAll, err := named(s.GetCapabilities().GetDropCapabilities())
	if err != nil {
		return 0, err
	}
	wanted := maskOf(defaultCapabilities)
	switch {
	case dropAll:
		wanted = add
	case addAll:
		wanted = all &^ (drop &^ add)
	default:
		wanted = wanted&^drop | add
	}
	return wanted & own, nil
}

// named is the mask of a list, and whether ALL is in it.
func named(names []string) (mask uint64, everything bool, err error) {
	for _, name := range names {
		short := strings.TrimPrefix(strings.ToUpper(name), "CAP_")
		if short == "ALL" {
			everything = true
			continue
		}
		i := slices.Index(capabilityNames, short)
		if i < 0 {
			return 0, false, fmt.Errorf("unknown capability %q", name)
		}
		mask |= 1 << i
	}
	return mask, everything, nil
}

func maskOf(names []string) uint64 {
	var mask uint64
	for _, name := range names {
		mask |= 1 << slices.Index(capabilityNames, name)
	}
	return mask
}

// OwnCapabilities is the mask of what this program may hand on: its bounding set.
func OwnCapabilities() (uint64, error) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			mask, err := strconv.ParseUint(strings.TrimSpace(text), 16, 64)
			return mask & all, err
		}
	}
	return all, nil
}

// CapabilityNames of a mask, with CAP_.
func CapabilityNames(mask uint64) []string {
	var names []string
	for i, name := range capabilityNames {
		if mask>>i&1 == 1 {
			names = append(names, "CAP_"+name)
		}
	}
	return names
}
