package cli

import (
	"dhow/container"
	"dhow/engine"
	"dhow/engine/flagtext"
	"errors"
	"fmt"

	"github.com/spf13/pflag"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func (f *containerFlags) registerResources(fs *pflag.FlagSet) {
	fs.StringVarP(&f.memory, "memory", "m", "", "memory limit")
	fs.StringVar(&f.memorySwap, "memory-swap", "", "limit of memory and swap together; -1: no limit")
	fs.StringVar(&f.memoryReservation, "memory-reservation", "", "memory that is left to it when memory is short")
	fs.Int64Var(&f.swappiness, "memory-swappiness", -1, "swappiness, 0 to 100 (cgroup v1)")
	fs.StringVar(&f.kernelMemory, "kernel-memory", "", "")
	fs.StringVar(&f.cpus, "cpus", "", "number of processors")
	fs.Int64VarP(&f.cpuShares, "cpu-shares", "c", 0, "share of processor time; 1024 is usual")
	fs.Int64Var(&f.cpuPeriod, "cpu-period", 0, "period of the scheduler's quota in microseconds")
	fs.Int64Var(&f.cpuQuota, "cpu-quota", 0, "microseconds of processor time in each period")
	fs.StringVar(&f.cpusetCPUs, "cpuset-cpus", "", "processors that may be used, such as 0-2,4")
	fs.StringVar(&f.cpusetMems, "cpuset-mems", "", "memory nodes that may be used")
	fs.Int64Var(&f.pidsLimit, "pids-limit", 0, "processes and threads there may be; -1: no limit")
	fs.Uint16Var(&f.blkioWeight, "blkio-weight", 0, "share of block devices, 10 to 1000")
	fs.StringArrayVar(&f.weightDevices, "blkio-weight-device", nil, "share of one device, PATH:WEIGHT")
	fs.StringArrayVar(&f.readBPS, "device-read-bps", nil, "bytes a second read from a device, PATH:RATE")
	fs.StringArrayVar(&f.writeBPS, "device-write-bps", nil, "bytes a second written to a device, PATH:RATE")
	fs.StringArrayVar(&f.readIOPS, "device-read-iops", nil, "reads a second from a device, PATH:RATE")
	fs.StringArrayVar(&f.writeIOPS, "device-write-iops", nil, "writes a second to a device, PATH:RATE")
	fs.IntVar(&f.oomScoreAdj, "oom-score-adj", 0, "how readily the kernel kills it for want of memory, -1000 to 1000")
	fs.BoolVar(&f.oomKillDisable, "oom-kill-disable", false, "wait for memory in place of being killed (cgroup v1)")
	fs.StringArrayVar(&f.ulimits, "ulimit", nil, "resource limit, TYPE=SOFT[:HARD]")
	fs.StringVar(&f.cgroupParent, "cgroup-parent", "", "")
	_ = fs.MarkHidden("cgroup-parent")
}

// limits are CRI's part of the resources.
func (f *containerFlags) limits(p *problems) *cri.LinuxContainerResources {
	r := &cri.LinuxContainerResources{
		MemoryLimitInBytes: p.bytes("memory", f.memory), CpuShares: f.cpuShares, CpuPeriod: f.cpuPeriod, CpuQuota: f.cpuQuota,
		CpusetCpus: f.cpusetCPUs, CpusetMems: f.cpusetMems,
	}
	if f.cpus != "" {
		if f.cpuPeriod != 0 || f.cpuQuota != 0 {
			p.add(errors.New("conflicting options: --cpus and --cpu-period or --cpu-quota cannot both be set"))
		}
		var err error
		r.CpuQuota, err = flagtext.CPUs(f.cpus)
		r.CpuPeriod = 100000
		p.add(err)
	}
	if m := r.MemoryLimitInBytes; m != 0 && m < 6<<20 {
		p.add(errors.New("minimum memory limit allowed is 6MB"))
	}
	return r
}
func (f *containerFlags) resources(spec *engine.Spec, p *problems) {
	spec.Resources = f.limits(p)
	x := &spec.Extra
	x.MemoryReservation = p.bytes("memory-reservation", f.memoryReservation)
	switch {
	case f.memorySwap == "-1":
		x.MemorySwap = -1
	case f.memorySwap == "" && spec.Resources.GetMemoryLimitInBytes() > 0:
		x.MemorySwap = 2 * spec.Resources.MemoryLimitInBytes // docker's
	case f.memorySwap != "":
		x.MemorySwap = p.bytes("memory-swap", f.memorySwap)
		limit := spec.Resources.MemoryLimitInBytes
		if limit == 0 {
			p.add(errors.New("You should always set the Memory limit when using Memoryswap limit, see usage"))
		} else if x.MemorySwap < limit {
			p.add(errors.New("Minimum memoryswap limit should be larger than memory limit, see usage"))
		}
	}
	if f.changed("memory-swappiness") {
		n := uint64(f.swappiness)
		if f.swappiness < 0 || f.swappiness > 100 {
			p.add(fmt.Errorf("invalid value: %d, valid memory swappiness range is 0-100", f.swappiness))
		}
		x.Swappiness = &n
	}
	if f.pidsLimit != 0 {
		x.PidsLimit = &f.pidsLimit
	}
	if f.changed("oom-score-adj") {
		if f.oomScoreAdj < -1000 || f.oomScoreAdj > 1000 {
			p.add(fmt.Errorf("invalid value %d, range for oom score adj is [-1000, 1000]", f.oomScoreAdj))
		}
		x.OOMScoreAdj = &f.oomScoreAdj
	}
	x.OOMKillDisable = f.oomKillDisable
	for _, text := range f.ulimits {
		r, err := flagtext.Ulimit(text)
		p.add(err)
		x.Rlimits = append(x.Rlimits, r)
	}
	f.blockIO(x, p)
}

func (f *containerFlags) blockIO(x *container.Extra, p *problems) {
	if f.blkioWeight != 0 && (f.blkioWeight < 10 || f.blkioWeight > 1000) {
		p.add(errors.New("Range of blkio weight is from 10 to 1000"))
	}
	x.BlockIO.Weight = f.blkioWeight
	for _, text := range f.weightDevices {
		w, err := flagtext.WeightDevice(text)
		p.add(err)
		x.BlockIO.WeightDevices = append(x.BlockIO.WeightDevices, w)
	}
	rates := func(texts []string, bytes bool) (all []container.DeviceLimit) {
		for _, text := range texts {
			l, err := flagtext.DeviceRate(text, bytes)
			p.add(err)
			all = append(all, l)
		}
		return all
	}
	x.BlockIO.ReadBPS, x.BlockIO.WriteBPS = rates(f.readBPS, true), rates(f.writeBPS, true)
	x.BlockIO.ReadIOPS, x.BlockIO.WriteIOPS = rates(f.readIOPS, false), rates(f.writeIOPS, false)
}
