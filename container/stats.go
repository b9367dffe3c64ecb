package container

import (
	"context"
	"time"

	"github.com/opencontainers/cgroups"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// usage reads what a group has used.
func usage(group string) (*cgroups.Stats, error) {
	m, err := groupManager(group, &cgroups.Resources{SkipDevices: true})
	if err != nil {
		return nil, err
	}
	return m.GetStats()
}

func cpu(s *cgroups.Stats, now int64) *cri.CpuUsage {
	return &cri.CpuUsage{Timestamp: now, UsageCoreNanoSeconds: &cri.UInt64Value{Value: s.CpuStats.CpuUsage.TotalUsage}, Psi: pressure(s.CpuStats.PSI)}
}

// memory counts as working set what is used and not easily given back: inactive file pages are.
func memory(s *cgroups.Stats, now int64) *cri.MemoryUsage {
	used := s.MemoryStats.Usage.Usage
	inactive := s.MemoryStats.Stats["total_inactive_file"] + s.MemoryStats.Stats["inactive_file"]
	if s.MemoryStats.Stats["total_inactive_file"] > 0 {
		inactive = s.MemoryStats.Stats["total_inactive_file"]
	}
	working := used - min(inactive, used)
	m := &cri.MemoryUsage{
		Timestamp: now, WorkingSetBytes: &cri.UInt64Value{Value: working}, UsageBytes: &cri.UInt64Value{Value: used},
		RssBytes:        &cri.UInt64Value{Value: max(s.MemoryStats.Stats["total_rss"], s.MemoryStats.Stats["anon"])},
		PageFaults:      &cri.UInt64Value{Value: s.MemoryStats.Stats["pgfault"]},
		MajorPageFaults: &cri.UInt64Value{Value: s.MemoryStats.Stats["pgmajfault"]}, Psi: pressure(s.MemoryStats.PSI),
	}
	if limit := s.MemoryStats.Usage.Limit; limit > 0 && limit < 1<<62 {
		m.AvailableBytes = &cri.UInt64Value{Value: limit - min(working, limit)}
	}
	return m
}

// swap tells what is left only where there is a limit; version 1 limits memory and swap together.
func swap(s *cgroups.Stats, now int64) *cri.SwapUsage {
	u := &cri.SwapUsage{Timestamp: now, SwapUsageBytes: &cri.UInt64Value{Value: swapped(s)}}
	limit, used := s.MemoryStats.SwapUsage.Limit, s.MemoryStats.SwapUsage.Usage
	if limit > 0 && limit < 1<<62 {
		u.SwapAvailableBytes = &cri.UInt64Value{Value: limit - min(used, limit)}
	}
	return u
}

func (c *container) stats() (*cri.ContainerStats, error) {
	s, err := usage(c.Cgroup)
	if err != nil {
		return nil, err
	}
	now := time.Now().UnixNano()
	return &cri.ContainerStats{
		Attributes: &cri.ContainerAttributes{Id: c.ID, Metadata: c.config.GetMetadata(), Labels: c.config.Labels, Annotations: c.config.Annotations},
		Cpu:        cpu(s, now), Memory: memory(s, now), Swap: swap(s, now),
		Io: &cri.IoUsage{Timestamp: now, Psi: pressure(s.BlkioStats.PSI)}, WritableLayer: c.written(),
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
	used, err := usage(s.Cgroup)
	if err != nil {
		return nil, err
	}
	containers, err := e.ListContainerStats(ctx, &cri.ContainerStatsFilter{PodSandboxId: id})
	if err != nil {
		return nil, err
	}
	now := time.Now().UnixNano()
	return &cri.PodSandboxStats{
		Attributes: &cri.PodSandboxAttributes{Id: id, Metadata: s.config.GetMetadata(), Labels: s.config.Labels, Annotations: s.config.Annotations},
		Linux: &cri.LinuxPodSandboxStats{
			Cpu: cpu(used, now), Memory: memory(used, now), Containers: containers, Network: s.podNetwork(now), Io: &cri.IoUsage{Timestamp: now, Psi: pressure(used.BlkioStats.PSI)},
			Process: &cri.ProcessUsage{Timestamp: now, ProcessCount: &cri.UInt64Value{Value: used.PidsStats.Current}},
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
