package server

import (
	"fmt"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// checkSandbox refuses configurations of pods that no runtime could make.
func checkSandbox(c *cri.PodSandboxConfig) error {
	if len(c.Hostname) > 64 || strings.ContainsAny(c.Hostname, "/ \n") {
		return invalid("config.hostname: %q is not the name of a host: at most 64 characters, without spaces and slashes", c.Hostname)
	}
	if c.LogDirectory != "" && !filepath.IsAbs(c.LogDirectory) {
		return invalid("config.log_directory: %q is not absolute", c.LogDirectory)
	}
	if parent := c.GetLinux().GetCgroupParent(); stepsBack(parent) {
		return invalid("config.linux.cgroup_parent: %q must not contain '..'", parent)
	}
	for _, list := range [][]string{c.GetDnsConfig().GetServers(), c.GetDnsConfig().GetSearches(), c.GetDnsConfig().GetOptions()} {
		for _, text := range list {
			if strings.ContainsAny(text, "\n\r") {
				return invalid("config.dns_config: %q has more than one line", text)
			}
		}
	}
	for i, p := range c.PortMappings {
		at := fmt.Sprintf("config.port_mappings[%d].", i)
		if err := firstOf(checkPort(at+"container_port", p.ContainerPort, 0), checkPort(at+"host_port", p.HostPort, 0)); err != nil {
			return err
		}
		if _, err := netip.ParseAddr(p.HostIp); p.HostIp != "" && err != nil {
			return invalid("%shost_ip: %q is not an address", at, p.HostIp)
		}
	}
	s := c.GetLinux().GetSecurityContext()
	return firstOf(
		checkIDs("config.linux.security_context", s.GetRunAsUser(), s.GetRunAsGroup(), s.GetSupplementalGroups()),
		checkResources("config.linux.resources", c.GetLinux().GetResources()),
		checkResources("config.linux.overhead", c.GetLinux().GetOverhead()))
}

// checkContainer is checkSandbox for containers.
func checkContainer(c *cri.ContainerConfig) error {
	if c.LogPath != "" && !filepath.IsLocal(c.LogPath) {
		return invalid("config.log_path: %q is not a path below the pod's log directory", c.LogPath)
	}
	for i, e := range c.Envs {
		if e.GetKey() == "" || strings.Contains(e.Key, "=") || slices.Contains(e.Value, 0) {
			return invalid("config.envs[%d]: %q is not the name and value of a variable", i, e.GetKey())
		}
	}
	for i, d := range c.Devices {
		if !filepath.IsAbs(d.GetHostPath()) || strings.Trim(d.Permissions, "rwm") != "" {
			return invalid("config.devices[%d]: %q with permissions %q is not a device's path and some of r, w and m", i, d.GetHostPath(), d.GetPermissions())
		}
	}
	for i, m := range c.Mounts {
		if !filepath.IsAbs(m.GetContainerPath()) {
			return invalid("config.mounts[%d].container_path: %q is not absolute", i, m.GetContainerPath())
		}
		if m.GetImage().GetImage() == "" && !filepath.IsAbs(m.HostPath) {
			return invalid("config.mounts[%d].host_path: %q is not absolute", i, m.HostPath)
		}
		if stepsBack(m.ImageSubPath) {
			return invalid("config.mounts[%d].image_sub_path: %q must not contain '..'", i, m.ImageSubPath)
		}
		if err := checkMount(m); err != nil {
			return err
		}
	}
	s := c.GetLinux().GetSecurityContext()
	return firstOf(
		checkIDs("config.linux.security_context", s.GetRunAsUser(), s.GetRunAsGroup(), s.GetSupplementalGroups()),
		checkResources("config.linux.resources", c.GetLinux().GetResources()))
}

func stepsBack(path string) bool { return slices.Contains(strings.Split(path, "/"), "..") }

func firstOf(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkIDs is for users and groups: the kernel has 32 bits for them, the last value means none.
func checkIDs(at string, user, group *cri.Int64Value, more []int64) error {
	for name, id := range map[string]*cri.Int64Value{".run_as_user": user, ".run_as_group": group} {
		if v := id.GetValue(); v < 0 || v >= math.MaxUint32 {
			return invalid("%s%s: %d is not an id from 0 to %d", at, name, v, uint32(math.MaxUint32-1))
		}
	}
	for _, v := range more {
		if v < 0 || v >= math.MaxUint32 {
			return invalid("%s.supplemental_groups: %d is not an id from 0 to %d", at, v, uint32(math.MaxUint32-1))
		}
	}
	return nil
}

// checkResources refuses sizes and shares below none. -1 is no limit where the kernel has a word for it.
func checkResources(at string, r *cri.LinuxContainerResources) error {
	for _, f := range []struct {
		name          string
		value, lowest int64
	}{
		{"cpu_period", r.GetCpuPeriod(), 0}, {"cpu_quota", r.GetCpuQuota(), -1}, {"cpu_shares", r.GetCpuShares(), 0},
		{"memory_limit_in_bytes", r.GetMemoryLimitInBytes(), -1}, {"memory_swap_limit_in_bytes", r.GetMemorySwapLimitInBytes(), -1},
	} {
		if f.value < f.lowest {
			return invalid("%s.%s: %d is less than %d", at, f.name, f.value, f.lowest)
		}
	}
	if score := r.GetOomScoreAdj(); score < -1000 || score > 1000 {
		return invalid("%s.oom_score_adj: %d is not from -1000 to 1000", at, score)
	}
	return nil
}
