package containertest

import (
	"context"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// fakeMemory is what every container of a Fake is said to use.
const fakeMemory = 4 << 20

// figures of a container: all its time is spent on the processor. The caller holds mu.
func (c *fakeContainer) figures() *cri.ContainerStats {
	now := time.Now().UnixNano()
	return &cri.ContainerStats{
		Attributes: &cri.ContainerAttributes{Id: c.status.Id, Metadata: c.config.Metadata, Labels: c.config.Labels, Annotations: c.config.Annotations},
		Cpu:        &cri.CpuUsage{Timestamp: now, UsageCoreNanoSeconds: &cri.UInt64Value{Value: uint64(now - c.status.StartedAt)}},
		Memory:     &cri.MemoryUsage{Timestamp: now, WorkingSetBytes: &cri.UInt64Value{Value: fakeMemory}, UsageBytes: &cri.UInt64Value{Value: fakeMemory}},
	}
}

// ContainerStats implements container.Runtime.
func (f *Fake) ContainerStats(_ context.Context, id string) (*cri.ContainerStats, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.containers[id]
	if c == nil {
		return nil, absent("container", id)
	}
	return c.figures(), nil
}

// ListContainerStats implements container.Runtime.
func (f *Fake) ListContainerStats(ctx context.Context, filter *cri.ContainerStatsFilter) ([]*cri.ContainerStats, error) {
	list, err := f.ListContainers(ctx, &cri.ContainerFilter{
		Id: filter.GetId(), PodSandboxId: filter.GetPodSandboxId(), LabelSelector: filter.GetLabelSelector(),
		State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING},
	})
	if err != nil {
		return nil, err
	}
	var all []*cri.ContainerStats
	for _, c := range list {
		if s, err := f.ContainerStats(ctx, c.Id); err == nil {
			all = append(all, s)
		}
	}
	return all, nil
}

// PodSandboxStats implements container.Runtime.
func (f *Fake) PodSandboxStats(ctx context.Context, id string) (*cri.PodSandboxStats, error) {
	s, err := f.PodSandboxStatus(ctx, id)
	if err != nil {
		return nil, err
	}
	containers, err := f.ListContainerStats(ctx, &cri.ContainerStatsFilter{PodSandboxId: id})
	if err != nil {
		return nil, err
	}
	now, n := time.Now().UnixNano(), uint64(len(containers))
	return &cri.PodSandboxStats{
		Attributes: &cri.PodSandboxAttributes{Id: id, Metadata: s.Metadata, Labels: s.Labels, Annotations: s.Annotations},
		Linux: &cri.LinuxPodSandboxStats{
			Cpu:        &cri.CpuUsage{Timestamp: now, UsageCoreNanoSeconds: &cri.UInt64Value{Value: uint64(now - s.CreatedAt)}},
			Memory:     &cri.MemoryUsage{Timestamp: now, WorkingSetBytes: &cri.UInt64Value{Value: n * fakeMemory}},
			Process:    &cri.ProcessUsage{Timestamp: now, ProcessCount: &cri.UInt64Value{Value: n}},
			Containers: containers,
		},
	}, nil
}

// ListPodSandboxStats implements container.Runtime.
func (f *Fake) ListPodSandboxStats(ctx context.Context, filter *cri.PodSandboxStatsFilter) ([]*cri.PodSandboxStats, error) {
	list, err := f.ListPodSandbox(ctx, &cri.PodSandboxFilter{
		Id: filter.GetId(), LabelSelector: filter.GetLabelSelector(), State: &cri.PodSandboxStateValue{State: cri.PodSandboxState_SANDBOX_READY},
	})
	if err != nil {
		return nil, err
	}
	var all []*cri.PodSandboxStats
	for _, s := range list {
		if stats, err := f.PodSandboxStats(ctx, s.Id); err == nil {
			all = append(all, stats)
		}
	}
	return all, nil
}
