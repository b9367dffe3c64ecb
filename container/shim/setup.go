package shim

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Setup is what the shim does to the pod's namespaces before it serves.
type Setup struct {
	Hostname string `json:"hostname"`
	// OwnNetwork: the network namespace is the pod's own, so that its loopback must be brought up.
	OwnNetwork bool              `json:"ownNetwork"`
	Sysctls    map[string]string `json:"sysctls"`
	// UserNS: the pod has a user namespace; descriptor 5 is it, 6 what its holder listens to.
	UserNS bool `json:"userNS,omitempty"`
}

func setUp(s Setup) error {
	if s.Hostname != "" {
		if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
			return fmt.Errorf("set hostname %q: %w", s.Hostname, err)
		}
	}
	if s.OwnNetwork {
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("bring loopback up: %w", err)
		}
	}
	return setSysctls(s.Sysctls)
}

// setSysctls sets some of this process' namespaces. A name has dots, or slashes where one of its parts has dots.
func setSysctls(all map[string]string) error {
	for name, value := range all {
		file := name
		if !strings.Contains(name, "/") {
			file = strings.ReplaceAll(name, ".", "/")
		}
		if err := os.WriteFile(path.Join("/proc/sys", path.Clean("/"+file)), []byte(value), 0o644); err != nil {
			return fmt.Errorf("sysctl %s: %w", name, err)
		}
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, lo); err != nil {
		return err
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// memoryKills counts what the kernel has killed in the groups for want of memory (cgroup v1's memory.oom_control, v2's
// memory.events: the line "oom_kill N").
func memoryKills(cgroups []string) int {
	for _, dir := range cgroups {
		for _, name := range []string{"memory.oom_control", "memory.events"} {
			data, err := os.ReadFile(path.Join(dir, name))
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(data)) {
				if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "oom_kill" {
					n, _ := strconv.Atoi(fields[1])
					return n
				}
			}
		}
	}
	return 0
}
