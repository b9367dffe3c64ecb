package cli

import (
	"cmp"
	"fmt"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/engine"
)

// hostConfig is what the user asked for, in docker's shape.
func hostConfig(c *engine.Container) object {
	x := c.Spec.Extra
	o := object{
		"Binds": binds(c), "Mounts": asked(c), "ContainerIDFile": c.Spec.IDFile, "LogConfig": object{"Type": cmp.Or(c.Spec.LogDriver, "json-file"), "Config": labelsOf(c.Spec.LogOpts)},
		"NetworkMode": c.Spec.NetworkMode, "PortBindings": portBindings(c.Spec.Ports), "RestartPolicy": object{"Name": cmp.Or(x.Restart.Policy, "no"), "MaximumRetryCount": x.Restart.MaxRetries},
		"AutoRemove": c.Spec.AutoRemove, "VolumeDriver": "", "VolumesFrom": c.Spec.VolumesFrom, "CapAdd": c.Spec.CapAdd, "CapDrop": c.Spec.CapDrop,
		"CgroupnsMode": cmp.Or(c.Spec.Cgroup, "private"), "Dns": list(c.Spec.DNS), "DnsOptions": list(c.Spec.DNSOptions), "DnsSearch": list(c.Spec.DNSSearch),
		"ExtraHosts": c.Spec.ExtraHosts, "GroupAdd": x.Groups, "IpcMode": cmp.Or(c.Spec.IPC, "private"), "Cgroup": "", "Links": nil, "OomScoreAdj": 0, "PidMode": c.Spec.PID,
		"Privileged": c.Spec.Privileged, "PublishAllPorts": c.Spec.PublishAll, "ReadonlyRootfs": c.Spec.ReadOnly, "SecurityOpt": securityOptions(c), "UTSMode": c.Spec.UTS,
		"UsernsMode": usersOf(c), "ShmSize": cmp.Or(x.ShmSize, 64<<20), "Runtime": "dhow", "Isolation": "", "ConsoleSize": []int{0, 0}, "Init": nil,
		"Tmpfs": tmpfsOf(x.Tmpfs), "Sysctls": x.Sysctls, "MaskedPaths": x.MaskedPaths, "ReadonlyPaths": x.ReadonlyPaths,
	}
	if x.Init {
		o["Init"] = true
	}
	if x.OOMScoreAdj != nil {
		o["OomScoreAdj"] = *x.OOMScoreAdj
	}
	limitsOf(o, c.Spec.Resources, &x)
	devicesOf(o, c.Spec.Devices, &x)
	return o
}

// limitsOf puts in what memory, processors and processes a container may have.
func limitsOf(o object, r *cri.LinuxContainerResources, x *container.Extra) {
	if r == nil {
		r = &cri.LinuxContainerResources{}
	}
	o["Memory"], o["MemorySwap"], o["MemoryReservation"], o["MemorySwappiness"] = r.MemoryLimitInBytes, x.MemorySwap, x.MemoryReservation, x.Swappiness
	o["CpuShares"], o["CpuPeriod"], o["CpuQuota"], o["NanoCpus"] = r.CpuShares, r.CpuPeriod, r.CpuQuota, int64(0)
	if r.CpuPeriod > 0 && r.CpuQuota > 0 {
		o["NanoCpus"] = r.CpuQuota * 1e9 / r.CpuPeriod
	}
	o["CpusetCpus"], o["CpusetMems"], o["CpuRealtimePeriod"], o["CpuRealtimeRuntime"] = r.CpusetCpus, r.CpusetMems, 0, 0
	o["OomKillDisable"], o["PidsLimit"], o["CgroupParent"] = x.OOMKillDisable, x.PidsLimit, ""
	ulimits := []object{}
	for _, l := range x.Rlimits {
		ulimits = append(ulimits, object{"Name": strings.ToLower(strings.TrimPrefix(l.Type, "RLIMIT_")), "Soft": int64(l.Soft), "Hard": int64(l.Hard)})
	}
	o["Ulimits"] = ulimits
}

func devicesOf(o object, devices []engine.Device, x *container.Extra) {
	all := []object{}
	for _, d := range devices {
		all = append(all, object{"PathOnHost": d.Host, "PathInContainer": d.Container, "CgroupPermissions": d.Permissions})
	}
	o["Devices"], o["DeviceCgroupRules"], o["DeviceRequests"], o["BlkioWeight"] = all, x.DeviceRules, nil, x.BlockIO.Weight
	weights := []object{}
	for _, w := range x.BlockIO.WeightDevices {
		weights = append(weights, object{"Path": w.Path, "Weight": w.Weight})
	}
	o["BlkioWeightDevice"] = weights
	for name, limits := range map[string][]container.DeviceLimit{
		"BlkioDeviceReadBps": x.BlockIO.ReadBPS, "BlkioDeviceWriteBps": x.BlockIO.WriteBPS, "BlkioDeviceReadIOps": x.BlockIO.ReadIOPS, "BlkioDeviceWriteIOps": x.BlockIO.WriteIOPS,
	} {
		rates := []object{}
		for _, l := range limits {
			rates = append(rates, object{"Path": l.Path, "Rate": l.Rate})
		}
		o[name] = rates
	}
}

// binds are the mounts of --volume that name something; asked are those of --mount.
func binds(c *engine.Container) []string {
	var all []string
	for _, m := range c.Spec.Mounts {
		if m.Source == "" || m.Long {
			continue
		}
		text := m.Source + ":" + m.Target
		if options := bindOptions(m); options != "" {
			text += ":" + options
		}
		all = append(all, text)
	}
	return all
}

func bindOptions(m engine.Mount) string {
	var all []string
	for _, o := range []struct {
		option string
		set    bool
	}{{"ro", m.ReadOnly && !m.Recursive}, {"rro", m.ReadOnly && m.Recursive}, {"nocopy", m.NoCopy}, {"z", m.Relabel == "shared"}, {"Z", m.Relabel == "private"}} {
		if o.set {
			all = append(all, o.option)
		}
	}
	if m.Propagation != "" {
		all = append(all, m.Propagation)
	}
	return strings.Join(all, ",")
}

func asked(c *engine.Container) []object {
	var all []object
	for _, m := range c.Spec.Mounts {
		if m.Long {
			all = append(all, object{"Type": m.Type, "Source": m.Source, "Target": m.Target, "ReadOnly": m.ReadOnly})
		}
	}
	return all
}

func tmpfsOf(mounts []container.Tmpfs) object {
	if len(mounts) == 0 {
		return nil
	}
	o := object{}
	for _, t := range mounts {
		options := append([]string{}, t.Options...)
		if t.Size > 0 {
			options = append(options, fmt.Sprintf("size=%d", t.Size))
		}
		if t.Mode > 0 {
			options = append(options, fmt.Sprintf("mode=%o", t.Mode))
		}
		o[t.Target] = strings.Join(options, ",")
	}
	return o
}

func securityOptions(c *engine.Container) []string {
	var all []string
	if c.Spec.Extra.NoNewPrivileges {
		all = append(all, "no-new-privileges")
	}
	if c.Spec.Seccomp != "" {
		all = append(all, "seccomp="+c.Spec.Seccomp)
	}
	if c.Spec.AppArmor != "" {
		all = append(all, "apparmor="+c.Spec.AppArmor)
	}
	return all
}

func usersOf(c *engine.Container) string {
	if r := c.Spec.UserRange; r != nil {
		return fmt.Sprintf("%d:%d", r.First, r.Count)
	}
	return c.Spec.UserNS
}
