package container

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cgroups"
	"dhow/container/shim"
)

func (c *container) stats() (*cri.ContainerStats, error) {
	s, err := c.Cgroup.Stats()
	if err != nil {
		return nil, err
	}
	return &cri.ContainerStats{
		Attributes: &cri.ContainerAttributes{Id: c.ID, Metadata: c.config.GetMetadata(), Labels: c.config.Labels, Annotations: c.config.Annotations},
		Cpu:        s.CPU(), Memory: s.Memory(), Swap: s.Swap(), Io: s.IO(), WritableLayer: c.written(),
	}, nil
}

// ContainerStats implements Runtime.
func (e *Engine) ContainerStats(_ context.Context, id string) (*cri.ContainerStats, error) {
	c, err := e.container(id)
	if err != nil {
		return nil, err
	}
	return c.stats()
}

// ListContainerStats implements Runtime; it has running containers only.
func (e *Engine) ListContainerStats(ctx context.Context, filter *cri.ContainerStatsFilter) ([]*cri.ContainerStats, error) {
	list, err := e.ListContainers(ctx, &cri.ContainerFilter{
		Id: filter.GetId(), PodSandboxId: filter.GetPodSandboxId(), LabelSelector: filter.GetLabelSelector(),
		State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING},
	})
	if err != nil {
		return nil, err
	}
	var all []*cri.ContainerStats
	for _, item := range list {
		if s, err := e.ContainerStats(ctx, item.Id); err == nil { // it may just have ended
			all = append(all, s)
		}
	}
	return all, nil
}

// PodSandboxStats implements Runtime.
func (e *Engine) PodSandboxStats(ctx context.Context, id string) (*cri.PodSandboxStats, error) {
	s, err := e.sandbox(id)
	if err != nil {
		return nil, err
	}
	used, err := s.Cgroup.Stats()
	if err != nil {
		return nil, err
	}
	containers, err := e.ListContainerStats(ctx, &cri.ContainerStatsFilter{PodSandboxId: id})
	if err != nil {
		return nil, err
	}
	return &cri.PodSandboxStats{
		Attributes: &cri.PodSandboxAttributes{Id: id, Metadata: s.config.GetMetadata(), Labels: s.config.Labels, Annotations: s.config.Annotations},
		Linux: &cri.LinuxPodSandboxStats{
			Cpu: used.CPU(), Memory: used.Memory(), Io: used.IO(), Process: used.Processes(),
			Containers: containers, Network: s.podNetwork(used.At()),
		},
	}, nil
}

// ListPodSandboxStats implements Runtime.
func (e *Engine) ListPodSandboxStats(ctx context.Context, filter *cri.PodSandboxStatsFilter) ([]*cri.PodSandboxStats, error) {
	list, err := e.ListPodSandbox(ctx, &cri.PodSandboxFilter{
		Id: filter.GetId(), LabelSelector: filter.GetLabelSelector(),
		State: &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_READY},
	})
	if err != nil {
		return nil, err
	}
	var all []*cri.PodSandboxStats
	for _, item := range list {
		if s, err := e.PodSandboxStats(ctx, item.Id); err == nil { // it may just have ended
			all = append(all, s)
		}
	}
	return all, nil
}

// writtenFor is how long a count of a container's files holds: it takes time.
const writtenFor = 10 * time.Second

// written counts what the container has written to its root; nil where that is not in a layer of its own.
func (c *container) written() *cri.FilesystemUsage {
	c.mu.Lock()
	last := c.layer
	c.mu.Unlock()
	if last != nil && time.Since(time.Unix(0, last.Timestamp)) < writtenFor {
		return last
	}
	var spec shim.Container
	if err := readJSON(filepath.Join(c.dir, specFile), &spec); err != nil || spec.Root.Upper == "" {
		return nil
	}
	bytes, inodes := filesBelow(spec.Root.Upper)
	now := &cri.FilesystemUsage{
		Timestamp: time.Now().UnixNano(), FsId: &cri.FilesystemIdentifier{Mountpoint: filepath.Dir(spec.Root.Upper)},
		UsedBytes: &cri.UInt64Value{Value: bytes}, InodesUsed: &cri.UInt64Value{Value: inodes},
	}
	c.mu.Lock()
	c.layer = now
	c.mu.Unlock()
	return now
}

// filesBelow counts the blocks and the inodes of a directory. Files come and go meanwhile.
func filesBelow(dir string) (bytes, inodes uint64) {
	linked := map[uint64]bool{}
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err != nil || unix.Lstat(path, &st) != nil || linked[st.Ino] {
			return nil
		}
		if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			linked[st.Ino] = true
		}
		bytes, inodes = bytes+uint64(st.Blocks)*512, inodes+1
		return nil
	})
	return bytes, inodes
}

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
