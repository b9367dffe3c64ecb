package container

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/shim"
)

// limits are those of the container's group.
func (c *container) limits() (*cgroups.Resources, error) {
	if u := c.config.GetLinux().GetResources().GetUnified(); len(u) > 0 && !cgroups.IsCgroup2UnifiedMode() {
		return nil, fmt.Errorf("limits by the names of their files (unified: %s): only cgroup v2 has them, this machine has v1",
			strings.Join(slices.Sorted(maps.Keys(u)), ", "))
	}
	rules, err := deviceAccess(c.config.Devices)
	if err != nil {
		return nil, err
	}
	for _, text := range c.Extra.DeviceRules {
		rule, err := deviceRule(text)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	linux := c.config.GetLinux()
	out := criLimits(linux.GetResources(), linux.GetSecurityContext().GetPrivileged(), rules)
	return out, c.Extra.limit(out)
}

// limit adds what is asked for beyond CRI.
func (x *Extra) limit(out *cgroups.Resources) error {
	if cgroups.IsCgroup2UnifiedMode() && x.Swappiness != nil {
		return errors.New("memory swappiness: cgroup v2 has none")
	}
	if cgroups.IsCgroup2UnifiedMode() && x.OOMKillDisable {
		return errors.New("disabling the OOM killer: cgroup v2 cannot")
	}
	if x.Swappiness != nil && *x.Swappiness > 100 {
		return fmt.Errorf("memory swappiness %d is not between 0 and 100", *x.Swappiness)
	}
	if x.MemoryReservation < 0 || x.MemorySwap < -1 {
		return errors.New("memory reservation and swap cannot be negative")
	}
	if out.Memory > 0 && x.MemoryReservation > out.Memory {
		return fmt.Errorf("memory reservation, %d, is more than the memory limit %d", x.MemoryReservation, out.Memory)
	}
	out.MemoryReservation, out.MemorySwappiness, out.OomKillDisable = x.MemoryReservation, x.Swappiness, x.OOMKillDisable
	if x.MemorySwap != 0 {
		if out.Memory > 0 && x.MemorySwap > 0 && x.MemorySwap < out.Memory {
			return fmt.Errorf("memory and swap together, %d, are less than the memory limit %d", x.MemorySwap, out.Memory)
		}
		out.MemorySwap = x.MemorySwap
	}
	if x.PidsLimit != nil && *x.PidsLimit != 0 {
		out.PidsLimit = x.PidsLimit
	}
	return x.BlockIO.limit(out)
}

func (b *BlockIO) limit(out *cgroups.Resources) error {
	if b.Weight != 0 && (b.Weight < 10 || b.Weight > 1000) {
		return fmt.Errorf("block I/O weight %d is not between 10 and 1000", b.Weight)
	}
	out.BlkioWeight = b.Weight
	for _, w := range b.WeightDevices {
		major, minor, err := blockDevice(w.Path)
		if err != nil {
			return fmt.Errorf("block I/O weight: %w", err)
		}
		if w.Weight < 10 || w.Weight > 1000 {
			return fmt.Errorf("block I/O weight %d of %s is not between 10 and 1000", w.Weight, w.Path)
		}
		out.BlkioWeightDevice = append(out.BlkioWeightDevice, cgroups.NewWeightDevice(major, minor, w.Weight, 0))
	}
	for _, l := range []struct {
		from []DeviceLimit
		to   *[]*cgroups.ThrottleDevice
	}{
		{b.ReadBPS, &out.BlkioThrottleReadBpsDevice}, {b.WriteBPS, &out.BlkioThrottleWriteBpsDevice},
		{b.ReadIOPS, &out.BlkioThrottleReadIOPSDevice}, {b.WriteIOPS, &out.BlkioThrottleWriteIOPSDevice},
	} {
		for _, d := range l.from {
			major, minor, err := blockDevice(d.Path)
			if err != nil {
				return fmt.Errorf("block I/O limit: %w", err)
			}
			*l.to = append(*l.to, cgroups.NewThrottleDevice(major, minor, d.Rate))
		}
	}
	return nil
}

// weighDevices sets the weights of devices where version 2 has io.weight alone: beside it, and in version 1, BFQ's files
// take them, which the library writes.
func (b *BlockIO) weighDevices(group string) error {
	if len(b.WeightDevices) == 0 || !cgroups.IsCgroup2UnifiedMode() {
		return nil
	}
	tops, err := hierarchies()
	if err != nil {
		return err
	}
	dir := filepath.Join(tops[""], group)
	if _, err := os.Stat(filepath.Join(dir, "io.bfq.weight")); err == nil {
		return nil
	}
	for _, w := range b.WeightDevices {
		major, minor, err := blockDevice(w.Path)
		if err == nil {
			line := fmt.Sprintf("%d:%d %d", major, minor, cgroups.ConvertBlkIOToIOWeightValue(w.Weight))
			err = os.WriteFile(filepath.Join(dir, "io.weight"), []byte(line), 0)
		}
		if err != nil {
			return fmt.Errorf("block I/O weight of %s: %w", w.Path, err)
		}
	}
	return nil
}

func blockDevice(path string) (major, minor int64, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, fmt.Errorf("device %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return 0, 0, fmt.Errorf("device %s: not a block device", path)
	}
	return int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev)), nil
}

// deviceRule reads "c 42:* rmw".
func deviceRule(text string) (*devices.Rule, error) {
	bad := fmt.Errorf("device rule %q: want a type (a, b or c), MAJOR:MINOR with * for any, and some of rwm", text)
	fields := strings.Fields(text)
	if len(fields) != 3 || !strings.Contains("abc", fields[0]) || strings.Trim(fields[2], "rwm") != "" {
		return nil, bad
	}
	major, minor, ok := strings.Cut(fields[1], ":")
	rule := &devices.Rule{Type: devices.Type(fields[0][0]), Permissions: devices.Permissions(fields[2]), Allow: true}
	var err1, err2 error
	rule.Major, err1 = deviceNumber(major)
	rule.Minor, err2 = deviceNumber(minor)
	if !ok || err1 != nil || err2 != nil {
		return nil, bad
	}
	return rule, nil
}

func deviceNumber(text string) (int64, error) {
	if text == "*" {
		return devices.Wildcard, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return int64(n), err
}

// criLimits translates what CRI asks for a container.
func criLimits(r *cri.LinuxContainerResources, privileged bool, extra []*devices.Rule) *cgroups.Resources {
	out := &cgroups.Resources{Devices: deviceRules(privileged, extra)}
	if r == nil {
		return out
	}
	out.Memory = r.MemoryLimitInBytes
	out.MemorySwap = r.MemorySwapLimitInBytes
	out.CpuQuota = r.CpuQuota
	out.CpuPeriod = uint64(max(r.CpuPeriod, 0))
	out.CpusetCpus, out.CpusetMems = r.CpusetCpus, r.CpusetMems
	out.Unified = r.Unified
	if r.CpuShares > 0 {
		out.CpuShares = uint64(r.CpuShares)
		out.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(out.CpuShares)
	}
	for _, h := range r.HugepageLimits {
		if !hasController("hugetlb") {
			break // kubelets name every size, always; where nothing counts them they are not refused
		}
		out.HugetlbLimit = append(out.HugetlbLimit, &cgroups.HugepageLimit{Pagesize: h.PageSize, Limit: h.Limit})
	}
	return out
}

// UpdateContainerResources implements Runtime.
func (e *Engine) UpdateContainerResources(ctx context.Context, id string, r *cri.ContainerResources) error {
	return e.UpdateContainerWith(ctx, id, r.GetLinux(), Extra{})
}

// UpdateContainerWith changes a container while it runs, or before. Of extra, MemoryReservation, MemorySwap,
// Swappiness, PidsLimit, BlockIO and Restart (if it has a policy) count; what is zero stays as it is.
func (e *Engine) UpdateContainerWith(_ context.Context, id string, r *cri.LinuxContainerResources, extra Extra) error {
	c, err := e.container(id)
	if err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	if err := extra.Restart.check(); err != nil {
		return fmt.Errorf("update container %s: %w", id, err)
	}
	if err := c.setLimits(r, &extra); err != nil {
		return fmt.Errorf("update container %s: %w", id, err)
	}
	if extra.Restart.Policy != "" {
		if err := c.setRestart(extra.Restart); err != nil {
			return fmt.Errorf("update container %s: %w", id, err)
		}
	}
	if r != nil {
		c.keepLimits(r)
	}
	c.Extra.take(&extra)
	return c.save()
}

// keepLimits puts what an update has changed into the configuration; what is zero stays as it is. Statuses that were given
// out keep what they had.
func (c *container) keepLimits(r *cri.LinuxContainerResources) {
	have := &cri.LinuxContainerResources{}
	if old := c.config.GetLinux().GetResources(); old != nil {
		have = proto.Clone(old).(*cri.LinuxContainerResources)
	}
	if len(r.HugepageLimits) > 0 {
		have.HugepageLimits = nil
	}
	proto.Merge(have, r)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.config.Linux == nil {
		c.config.Linux = &cri.LinuxContainerConfig{}
	}
	c.config.Linux.Resources = have
}

func (c *container) setLimits(r *cri.LinuxContainerResources, extra *Extra) error {
	if c.state() == cri.ContainerState_CONTAINER_EXITED {
		return nil // its record is all there is to change
	}
	wanted := criLimits(r, true, nil)
	wanted.SkipDevices = true
	if err := extra.limit(wanted); err != nil {
		return err
	}
	m, err := groupManager(c.Cgroup, &cgroups.Resources{SkipDevices: true})
	if err != nil {
		return err
	}
	if err := m.Set(wanted); err != nil {
		return err
	}
	return extra.BlockIO.weighDevices(c.Cgroup)
}

// setRestart tells the shim, where it knows the container already.
func (c *container) setRestart(policy Restart) error {
	path := c.dir + "/" + specFile
	var spec shim.Container
	if err := readJSON(path, &spec); err != nil {
		return err
	}
	spec.Restart = policy.wire()
	if err := writeJSON(path, spec); err != nil {
		return err
	}
	if c.state() != cri.ContainerState_CONTAINER_RUNNING {
		return nil
	}
	_, _, err := c.sandbox.ask(shim.Request{Op: shim.OpUpdate, Container: c.ID, Restart: &spec.Restart})
	return err
}

// take keeps what an update has changed.
func (x *Extra) take(from *Extra) {
	if from.MemoryReservation != 0 {
		x.MemoryReservation = from.MemoryReservation
	}
	if from.MemorySwap != 0 {
		x.MemorySwap = from.MemorySwap
	}
	if from.Swappiness != nil {
		x.Swappiness = from.Swappiness
	}
	if from.PidsLimit != nil {
		x.PidsLimit = from.PidsLimit
	}
	if from.BlockIO.Weight != 0 || len(from.BlockIO.WeightDevices)+len(from.BlockIO.ReadBPS)+len(from.BlockIO.WriteBPS)+len(from.BlockIO.ReadIOPS)+len(from.BlockIO.WriteIOPS) > 0 {
		x.BlockIO = from.BlockIO
	}
	if from.Restart.Policy != "" {
		x.Restart = from.Restart
	}
}
