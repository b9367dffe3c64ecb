package container

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cgroups"
)

// Usage is what a container has used, in more detail than CRI's statistics.
type Usage struct {
	At time.Time
	// CPU time since its start, of it in kernel and user mode, and how long it was held back by its quota.
	CPU, Kernel, User, Throttled time.Duration
	ThrottledPeriods             uint64
	// Memory in bytes: used, of it what cannot be given back easily, the most so far, and the limit (0: none).
	Memory, WorkingSet, MaxMemory, MemoryLimit uint64
	Swap                                       uint64
	// Block devices, in bytes and operations.
	ReadBytes, WriteBytes, Reads, Writes uint64
	// Pids are processes and threads; limit 0: none.
	Pids, PidsLimit uint64
	// Pressure, where the kernel tells it (cgroup v2): share of the last ten seconds that some were stalled, in percent.
	CPUPressure, MemoryPressure, IOPressure *cgroups.Pressure
	// Networks are the counters of the network namespace's links by name; nil in the machine's namespace.
	Networks map[string]LinkUsage
}

// LinkUsage are a link's counters.
type LinkUsage struct {
	RxBytes, RxPackets, RxErrors, RxDropped uint64
	TxBytes, TxPackets, TxErrors, TxDropped uint64
}

// Usage of a running container.
func (e *Engine) Usage(ctx context.Context, id string) (*Usage, error) {
	c, err := e.running(id)
	if err != nil {
		return nil, err
	}
	s, err := c.Cgroup.Stats()
	if err != nil {
		return nil, err
	}
	m, cpu := s.Memory(), s.CpuStats
	u := &Usage{
		At: time.Unix(0, s.At()), CPU: time.Duration(cpu.CpuUsage.TotalUsage),
		Kernel: time.Duration(cpu.CpuUsage.UsageInKernelmode), User: time.Duration(cpu.CpuUsage.UsageInUsermode),
		Throttled: time.Duration(cpu.ThrottlingData.ThrottledTime), ThrottledPeriods: cpu.ThrottlingData.ThrottledPeriods,
		Memory: m.UsageBytes.Value, WorkingSet: m.WorkingSetBytes.Value, MaxMemory: s.MemoryStats.Usage.MaxUsage, MemoryLimit: s.MemoryLimit(),
		Swap: s.Swapped(), Pids: s.PidsStats.Current, PidsLimit: s.PidsStats.Limit,
		CPUPressure: cpu.PSI, MemoryPressure: s.MemoryStats.PSI, IOPressure: s.BlkioStats.PSI,
	}
	u.ReadBytes, u.WriteBytes, u.Reads, u.Writes = s.Transferred()
	u.Networks, err = e.networks(ctx, c)
	return u, err
}

// networks are the counters of the links that a container sees.
func (e *Engine) networks(ctx context.Context, c *container) (map[string]LinkUsage, error) {
	switch n := c.Extra.Network; {
	case n == NamespaceHost || n == "" && !c.sandbox.ownNetwork():
		return nil, nil
	case n == "":
		return links(c.sandbox.ShimPID) // it is in the pod's namespace
	}
	pid, err := e.Pid(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	return links(pid)
}

// links reads /proc/PID/net/dev, which has sixteen counters a link (proc_pid_net(5)).
func links(pid int) (map[string]LinkUsage, error) {
	path := fmt.Sprintf("/proc/%d/net/dev", pid)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all := map[string]LinkUsage{}
	for line := range strings.Lines(string(data)) {
		name, counters, ok := strings.Cut(line, ":")
		fields := strings.Fields(counters)
		if !ok || len(fields) < 16 {
			continue
		}
		n := make([]uint64, len(fields))
		for i, f := range fields {
			if n[i], err = strconv.ParseUint(f, 10, 64); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
		all[strings.TrimSpace(name)] = LinkUsage{
			RxBytes: n[0], RxPackets: n[1], RxErrors: n[2], RxDropped: n[3], TxBytes: n[8], TxPackets: n[9], TxErrors: n[10], TxDropped: n[11],
		}
	}
	return all, nil
}

// podNetwork are the counters of the pod's links as CRI tells them; nil in the machine's namespace.
func (s *sandbox) podNetwork(now int64) *cri.NetworkUsage {
	if !s.ownNetwork() {
		return nil
	}
	all, err := links(s.ShimPID)
	if err != nil {
		return nil // it has just ended
	}
	n := &cri.NetworkUsage{Timestamp: now}
	for name, l := range all {
		if name == "lo" {
			continue
		}
		link := &cri.NetworkInterfaceUsage{
			Name: name, RxBytes: &cri.UInt64Value{Value: l.RxBytes}, RxErrors: &cri.UInt64Value{Value: l.RxErrors},
			TxBytes: &cri.UInt64Value{Value: l.TxBytes}, TxErrors: &cri.UInt64Value{Value: l.TxErrors},
		}
		n.Interfaces = append(n.Interfaces, link)
		if name == "eth0" {
			n.DefaultInterface = link
		}
	}
	if n.DefaultInterface == nil && len(n.Interfaces) > 0 {
		n.DefaultInterface = n.Interfaces[0]
	}
	return n
}
