package bundle

import (
	"errors"
	"fmt"

	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	groups "dhow/container/cgroups"
	"dhow/container/oci/inside"
)

// Resources translates what is asked of control groups. Without device rules it leaves devices alone.
func Resources(r *specs.LinuxResources) (*cgroups.Resources, error) {
	out := &cgroups.Resources{SkipDevices: true}
	if r == nil {
		return out, nil
	}
	if err := memory(out, r.Memory); err != nil {
		return nil, err
	}
	cpu(out, r.CPU)
	if r.Pids != nil {
		out.PidsLimit = r.Pids.Limit
	}
	if err := blockIO(out, r.BlockIO); err != nil {
		return nil, err
	}
	for _, h := range r.HugepageLimits {
		out.HugetlbLimit = append(out.HugetlbLimit, &cgroups.HugepageLimit{Pagesize: h.Pagesize, Limit: h.Limit})
	}
	if n := r.Network; n != nil {
		if n.ClassID != nil {
			out.NetClsClassid = *n.ClassID
		}
		for _, p := range n.Priorities {
			out.NetPrioIfpriomap = append(out.NetPrioIfpriomap, &cgroups.IfPrioMap{Interface: p.Name, Priority: int64(p.Priority)})
		}
		if cgroups.IsCgroup2UnifiedMode() && (out.NetClsClassid != 0 || len(out.NetPrioIfpriomap) > 0) {
			return nil, errors.New("linux.resources.network: cgroup v2 has no such controllers")
		}
	}
	for name, v := range r.Rdma {
		if out.Rdma == nil {
			out.Rdma = map[string]cgroups.LinuxRdma{}
		}
		out.Rdma[name] = cgroups.LinuxRdma{HcaHandles: v.HcaHandles, HcaObjects: v.HcaObjects}
	}
	if len(r.Unified) > 0 && !cgroups.IsCgroup2UnifiedMode() {
		return nil, errors.New("linux.resources.unified needs cgroup v2")
	}
	out.Unified = r.Unified
	return out, nil
}

func memory(out *cgroups.Resources, m *specs.LinuxMemory) error {
	if m == nil {
		return nil
	}
	v2 := cgroups.IsCgroup2UnifiedMode()
	for to, from := range map[*int64]*int64{&out.Memory: m.Limit, &out.MemoryReservation: m.Reservation, &out.MemorySwap: m.Swap} {
		if from != nil {
			*to = *from
		}
	}
	if v2 && m.Swappiness != nil {
		return errors.New("linux.resources.memory.swappiness: cgroup v2 has none")
	}
	if v2 && m.KernelTCP != nil {
		return errors.New("linux.resources.memory.kernelTCP: cgroup v2 has none")
	}
	out.MemorySwappiness = m.Swappiness
	if m.DisableOOMKiller != nil {
		if v2 && *m.DisableOOMKiller {
			return errors.New("linux.resources.memory.disableOOMKiller: cgroup v2 cannot")
		}
		out.OomKillDisable = *m.DisableOOMKiller
	}
	if m.CheckBeforeUpdate != nil {
		out.MemoryCheckBeforeUpdate = *m.CheckBeforeUpdate
	}
	return nil
}

func cpu(out *cgroups.Resources, c *specs.LinuxCPU) {
	if c == nil {
		return
	}
	if c.Shares != nil {
		out.CpuShares = *c.Shares
		out.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(*c.Shares)
	}
	if c.Quota != nil {
		out.CpuQuota = *c.Quota
	}
	if c.Period != nil {
		out.CpuPeriod = *c.Period
	}
	if c.RealtimeRuntime != nil {
		out.CpuRtRuntime = *c.RealtimeRuntime
	}
	if c.RealtimePeriod != nil {
		out.CpuRtPeriod = *c.RealtimePeriod
	}
	out.CpuBurst, out.CPUIdle, out.CpusetCpus, out.CpusetMems = c.Burst, c.Idle, c.Cpus, c.Mems
}

func blockIO(out *cgroups.Resources, b *specs.LinuxBlockIO) error {
	if b == nil {
		return nil
	}
	if b.Weight != nil {
		out.BlkioWeight = *b.Weight
	}
	if b.LeafWeight != nil {
		out.BlkioLeafWeight = *b.LeafWeight
	}
	for _, w := range b.WeightDevice {
		if w.Weight == nil && w.LeafWeight == nil {
			return fmt.Errorf("linux.resources.blockIO.weightDevice %d:%d: neither weight nor leafWeight is set", w.Major, w.Minor)
		}
		var weight, leaf uint16
		if w.Weight != nil {
			weight = *w.Weight
		}
		if w.LeafWeight != nil {
			leaf = *w.LeafWeight
		}
		out.BlkioWeightDevice = append(out.BlkioWeightDevice, cgroups.NewWeightDevice(w.Major, w.Minor, weight, leaf))
	}
	for _, l := range []struct {
		from []specs.LinuxThrottleDevice
		to   *[]*cgroups.ThrottleDevice
	}{
		{b.ThrottleReadBpsDevice, &out.BlkioThrottleReadBpsDevice}, {b.ThrottleWriteBpsDevice, &out.BlkioThrottleWriteBpsDevice},
		{b.ThrottleReadIOPSDevice, &out.BlkioThrottleReadIOPSDevice}, {b.ThrottleWriteIOPSDevice, &out.BlkioThrottleWriteIOPSDevice},
	} {
		for _, d := range l.from {
			*l.to = append(*l.to, cgroups.NewThrottleDevice(d.Major, d.Minor, d.Rate))
		}
	}
	return nil
}

// standard are the devices that every container has (runtime-spec, config-linux.md, "Default Devices").
var standard = []struct {
	path         string
	major, minor int64
}{
	{"/dev/null", 1, 3}, {"/dev/random", 1, 8}, {"/dev/full", 1, 7}, {"/dev/tty", 5, 0}, {"/dev/zero", 1, 5}, {"/dev/urandom", 1, 9},
}

// DeviceRules are the bundle's, then what every container may use.
func DeviceRules(list []specs.LinuxDeviceCgroup) ([]*devices.Rule, error) {
	var rules []*devices.Rule
	for i, d := range list {
		r := &devices.Rule{Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: devices.Permissions(d.Access), Allow: d.Allow}
		switch d.Type {
		case "", "a":
		case "c", "b":
			r.Type = devices.Type(d.Type[0])
		default:
			return nil, fmt.Errorf("linux.resources.devices[%d].type %q: want a, b or c", i, d.Type)
		}
		if d.Access == "" || !r.Permissions.IsValid() {
			return nil, fmt.Errorf("linux.resources.devices[%d].access %q: want some of rwm", i, d.Access)
		}
		if d.Major != nil {
			r.Major = *d.Major
		}
		if d.Minor != nil {
			r.Minor = *d.Minor
		}
		rules = append(rules, r)
	}
	return append(rules, groups.StandardDevices()...), nil
}

// devices are the nodes of /dev.
func (p *Plan) devices(spec *specs.Spec) error {
	own := map[string]bool{}
	for i, d := range spec.Linux.Devices {
		node := inside.Device{Path: d.Path, Mode: 0o666}
		if d.FileMode != nil {
			node.Mode = uint32(d.FileMode.Perm())
		}
		switch d.Type {
		case "c", "u":
			node.Mode |= unix.S_IFCHR
		case "b":
			node.Mode |= unix.S_IFBLK
		case "p":
			node.Mode |= unix.S_IFIFO
		default:
			return fmt.Errorf("linux.devices[%d].type %q: want c, b, u or p", i, d.Type)
		}
		if d.Path == "" || d.Path[0] != '/' {
			return fmt.Errorf("linux.devices[%d].path %q is not absolute", i, d.Path)
		}
		if d.Type != "p" {
			node.Rdev = unix.Mkdev(uint32(d.Major), uint32(d.Minor))
		}
		if d.UID != nil {
			node.UID = *d.UID
		}
		if d.GID != nil {
			node.GID = *d.GID
		}
		own[d.Path] = true
		p.Container.Devices = append(p.Container.Devices, node)
	}
	for _, d := range standard {
		if !own[d.path] {
			p.Container.Devices = append(p.Container.Devices, inside.Device{
				Path: d.path, Mode: unix.S_IFCHR | 0o666, Rdev: unix.Mkdev(uint32(d.major), uint32(d.minor)),
			})
		}
	}
	return nil
}
