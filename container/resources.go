package container

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cgroups"
	"dhow/container/shim"
)

// limits are those of the container's group.
func (c *container) limits() (*cgroups.Limits, error) {
	linux := c.config.GetLinux()
	out, err := cgroups.FromCRI(linux.GetResources())
	if err != nil {
		return nil, err
	}
	out.SkipDevices = false
	if out.Devices, err = c.deviceRules(); err != nil {
		return nil, err
	}
	return out, c.Extra.limit(out)
}

// deviceRules forbid everything but what every container has, and what is asked for.
func (c *container) deviceRules() ([]*cgroups.Rule, error) {
	privileged := c.config.GetLinux().GetSecurityContext().GetPrivileged()
	rules := append(cgroups.NoDevices(), cgroups.StandardDevices()...)
	rules = append(rules, cgroups.Device{Major: 5, Minor: 1}.Allow("rwm")) // console
	for _, d := range c.config.Devices {
		device, err := cgroups.DeviceAt(d.HostPath)
		if err != nil {
			return nil, err
		}
		rules = append(rules, device.Allow(d.Permissions))
	}
	for _, text := range c.Extra.DeviceRules {
		rule, err := cgroups.ParseRule(text)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	if privileged {
		return cgroups.AllDevices(), nil
	}
	return rules, nil
}

// limit adds what is asked for beyond CRI.
func (x *Extra) limit(out *cgroups.Limits) error {
	if cgroups.V2() && x.Swappiness != nil {
		return errors.New("memory swappiness: cgroup v2 has none")
	}
	if cgroups.V2() && x.OOMKillDisable {
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

func (b *BlockIO) limit(out *cgroups.Limits) error {
	if b.Weight != 0 && (b.Weight < 10 || b.Weight > 1000) {
		return fmt.Errorf("block I/O weight %d is not between 10 and 1000", b.Weight)
	}
	out.BlkioWeight = b.Weight
	for _, w := range b.WeightDevices {
		device, err := cgroups.BlockDeviceAt(w.Path)
		if err != nil {
			return fmt.Errorf("block I/O weight: %w", err)
		}
		if w.Weight < 10 || w.Weight > 1000 {
			return fmt.Errorf("block I/O weight %d of %s is not between 10 and 1000", w.Weight, w.Path)
		}
		out.BlkioWeightDevice = append(out.BlkioWeightDevice, device.Weight(w.Weight))
	}
	for _, l := range []struct {
		from []DeviceLimit
		to   *[]*cgroups.Rate
	}{
		{b.ReadBPS, &out.BlkioThrottleReadBpsDevice}, {b.WriteBPS, &out.BlkioThrottleWriteBpsDevice},
		{b.ReadIOPS, &out.BlkioThrottleReadIOPSDevice}, {b.WriteIOPS, &out.BlkioThrottleWriteIOPSDevice},
	} {
		for _, d := range l.from {
			device, err := cgroups.BlockDeviceAt(d.Path)
			if err != nil {
				return fmt.Errorf("block I/O limit: %w", err)
			}
			*l.to = append(*l.to, device.Rate(d.Rate))
		}
	}
	return nil
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
	c.keep(r, &extra)
	return c.save()
}

// keep puts what an update has changed into the configuration; what is zero stays as it is. Statuses that were given
// out keep what they had.
func (c *container) keep(r *cri.LinuxContainerResources, extra *Extra) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Extra.take(extra)
	if r == nil {
		return
	}
	have := &cri.LinuxContainerResources{}
	if old := c.config.GetLinux().GetResources(); old != nil {
		have = proto.Clone(old).(*cri.LinuxContainerResources)
	}
	if len(r.HugepageLimits) > 0 {
		have.HugepageLimits = nil
	}
	proto.Merge(have, r)
	if c.config.Linux == nil {
		c.config.Linux = &cri.LinuxContainerConfig{}
	}
	c.config.Linux.Resources = have
}

func (c *container) setLimits(r *cri.LinuxContainerResources, extra *Extra) error {
	if c.state() == cri.ContainerState_CONTAINER_EXITED {
		return nil // its record is all there is to change
	}
	wanted, err := cgroups.FromCRI(r)
	if err != nil {
		return err
	}
	if err := extra.limit(wanted); err != nil {
		return err
	}
	return c.Cgroup.Set(wanted)
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

// UpdatePodSandboxResources changes the limits of a pod's own group, in which its containers' are.
func (e *Engine) UpdatePodSandboxResources(_ context.Context, id string, r *cri.LinuxContainerResources) error {
	s, err := e.sandbox(id)
	if err != nil {
		return err
	}
	if r == nil {
		return errors.New("update the pod's resources: none are given")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Stopped {
		return fmt.Errorf("update resources of sandbox %s: it has stopped", id)
	}
	wanted, err := cgroups.FromCRI(r)
	if err == nil {
		err = s.Cgroup.Set(wanted)
	}
	if err != nil {
		return fmt.Errorf("update resources of sandbox %s: %w", id, err)
	}
	config := proto.Clone(s.config).(*cri.PodSandboxConfig) // others read this one; its limits are for making the group
	if config.Linux == nil {
		config.Linux = &cri.LinuxPodSandboxConfig{}
	}
	config.Linux.Resources = r
	return s.record(config)
}
