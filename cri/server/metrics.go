package server

import (
	"context"
	"slices"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// metric is one figure, by cAdvisor's name, of a pod or a container. Node agents pass them on to Prometheus.
type metric struct {
	name, help string
	kind       cri.MetricType
	value      func(figures) (uint64, bool)
	pod        bool // of the pod as a whole only: its network
}

// figures are what a pod's and a container's statistics have in common.
type figures struct {
	cpu     *cri.CpuUsage
	memory  *cri.MemoryUsage
	network *cri.NetworkInterfaceUsage
	process *cri.ProcessUsage
}

// given is a figure, if it is there.
func given(v *cri.UInt64Value) (uint64, bool) { return v.GetValue(), v != nil }

func metricTable() []metric {
	const counter, gauge = cri.MetricType_COUNTER, cri.MetricType_GAUGE
	return []metric{
		{name: "container_cpu_usage_seconds_total", help: "Processor time consumed, in seconds.", kind: counter, value: func(f figures) (uint64, bool) {
			v, ok := given(f.cpu.GetUsageCoreNanoSeconds())
			return v / 1e9, ok
		}},
		{name: "container_memory_working_set_bytes", help: "Memory that cannot be reclaimed, in bytes.", kind: gauge, value: func(f figures) (uint64, bool) { return given(f.memory.GetWorkingSetBytes()) }},
		{name: "container_memory_usage_bytes", help: "Memory in use, with caches, in bytes.", kind: gauge, value: func(f figures) (uint64, bool) { return given(f.memory.GetUsageBytes()) }},
		{name: "container_memory_rss", help: "Anonymous memory, in bytes.", kind: gauge, value: func(f figures) (uint64, bool) { return given(f.memory.GetRssBytes()) }},
		{name: "container_memory_pgfault_total", help: "Page faults.", kind: counter, value: func(f figures) (uint64, bool) { return given(f.memory.GetPageFaults()) }},
		{name: "container_memory_pgmajfault_total", help: "Page faults that read from disk.", kind: counter, value: func(f figures) (uint64, bool) { return given(f.memory.GetMajorPageFaults()) }},
		{name: "container_processes", help: "Processes running.", kind: gauge, value: func(f figures) (uint64, bool) { return given(f.process.GetProcessCount()) }},
		{name: "container_network_receive_bytes_total", help: "Bytes received.", kind: counter, pod: true, value: func(f figures) (uint64, bool) { return given(f.network.GetRxBytes()) }},
		{name: "container_network_receive_errors_total", help: "Errors on receiving.", kind: counter, pod: true, value: func(f figures) (uint64, bool) { return given(f.network.GetRxErrors()) }},
		{name: "container_network_transmit_bytes_total", help: "Bytes sent.", kind: counter, pod: true, value: func(f figures) (uint64, bool) { return given(f.network.GetTxBytes()) }},
		{name: "container_network_transmit_errors_total", help: "Errors on sending.", kind: counter, pod: true, value: func(f figures) (uint64, bool) { return given(f.network.GetTxErrors()) }},
	}
}

func (m metric) labels() []string {
	labels := []string{"id", "name", "namespace", "pod"}
	if m.pod {
		labels = append(labels, "interface")
	}
	return labels
}

// of has the metrics of one pod or container that its figures have. Values fit labels().
func (f figures) metrics(at int64, labels []string) []*cri.Metric {
	var all []*cri.Metric
	for _, m := range metricTable() {
		value, ok := m.value(f)
		if !ok || m.pod && f.network == nil {
			continue
		}
		values := slices.Clone(labels)
		if m.pod {
			values = append(values, f.network.GetName())
		}
		all = append(all, &cri.Metric{Name: m.name, Timestamp: at, MetricType: m.kind, LabelValues: values, Value: &cri.UInt64Value{Value: value}})
	}
	return all
}

// ListMetricDescriptors describes what ListPodSandboxMetrics has.
func (s *runtimeService) ListMetricDescriptors(context.Context, *cri.ListMetricDescriptorsRequest) (*cri.ListMetricDescriptorsResponse, error) {
	var all []*cri.MetricDescriptor
	for _, m := range metricTable() {
		all = append(all, &cri.MetricDescriptor{Name: m.name, Help: m.help, LabelKeys: m.labels()})
	}
	return &cri.ListMetricDescriptorsResponse{Descriptors: all}, nil
}

// ListPodSandboxMetrics has the figures of every ready pod and its containers.
func (s *runtimeService) ListPodSandboxMetrics(ctx context.Context, _ *cri.ListPodSandboxMetricsRequest) (*cri.ListPodSandboxMetricsResponse, error) {
	all, err := s.metrics(ctx)
	return &cri.ListPodSandboxMetricsResponse{PodMetrics: all}, err
}

func (s *runtimeService) metrics(ctx context.Context) ([]*cri.PodSandboxMetrics, error) {
	stats, err := s.Runtime.ListPodSandboxStats(ctx, &cri.PodSandboxStatsFilter{})
	if err != nil {
		return nil, err
	}
	var all []*cri.PodSandboxMetrics
	for _, pod := range stats {
		all = append(all, podMetrics(pod))
	}
	return all, nil
}

func podMetrics(pod *cri.PodSandboxStats) *cri.PodSandboxMetrics {
	id, meta, linux := pod.GetAttributes().GetId(), pod.GetAttributes().GetMetadata(), pod.GetLinux()
	f := figures{cpu: linux.GetCpu(), memory: linux.GetMemory(), process: linux.GetProcess(), network: linux.GetNetwork().GetDefaultInterface()}
	at := linux.GetCpu().GetTimestamp()
	m := &cri.PodSandboxMetrics{PodSandboxId: id, Metrics: f.metrics(at, []string{id, "POD", meta.GetNamespace(), meta.GetName()})}
	for _, c := range linux.GetContainers() {
		labels := []string{c.GetAttributes().GetId(), c.GetAttributes().GetMetadata().GetName(), meta.GetNamespace(), meta.GetName()}
		m.ContainerMetrics = append(m.ContainerMetrics, &cri.ContainerMetrics{
			ContainerId: c.GetAttributes().GetId(), Metrics: figures{cpu: c.Cpu, memory: c.Memory}.metrics(c.GetCpu().GetTimestamp(), labels),
		})
	}
	return m
}
