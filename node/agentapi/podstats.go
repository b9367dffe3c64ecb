package agentapi

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// Labels by which the agent marks what it starts.
const (
	labelPodName       = "io.kubernetes.pod.name"
	labelPodNamespace  = "io.kubernetes.pod.namespace"
	labelPodUID        = "io.kubernetes.pod.uid"
	labelContainerName = "io.kubernetes.container.name"
)

// podStats are what a runtime tells of a pod, as summaries have it.
func podStats(p *cri.PodSandboxStats) statsapi.PodStats {
	labels := p.Attributes.GetLabels()
	s := statsapi.PodStats{
		PodRef: statsapi.PodReference{Name: labels[labelPodName], Namespace: labels[labelPodNamespace], UID: labels[labelPodUID]},
		CPU:    cpuStats(p.Linux.GetCpu()), Memory: memoryStats(p.Linux.GetMemory()), IO: ioStats(p.Linux.GetIo()), Network: networkStats(p.Linux.GetNetwork()),
	}
	if n := p.Linux.GetProcess().GetProcessCount(); n != nil {
		s.ProcessStats = &statsapi.ProcessStats{ProcessCount: value(n)}
	}
	for _, c := range p.Linux.GetContainers() {
		s.Containers = append(s.Containers, statsapi.ContainerStats{
			Name: c.Attributes.GetLabels()[labelContainerName], CPU: cpuStats(c.Cpu), Memory: memoryStats(c.Memory), IO: ioStats(c.Io),
			Swap: swapStats(c.Swap), Rootfs: writtenStats(c.WritableLayer),
		})
	}
	return s
}

func value(v *cri.UInt64Value) *uint64 {
	if v == nil {
		return nil
	}
	return &v.Value
}

func at(nanoseconds int64) metav1.Time { return metav1.NewTime(time.Unix(0, nanoseconds)) }

func cpuStats(c *cri.CpuUsage) *statsapi.CPUStats {
	if c == nil {
		return nil
	}
	return &statsapi.CPUStats{
		Time: at(c.Timestamp), UsageCoreNanoSeconds: value(c.UsageCoreNanoSeconds), UsageNanoCores: value(c.UsageNanoCores), PSI: pressure(c.Psi),
	}
}

func memoryStats(m *cri.MemoryUsage) *statsapi.MemoryStats {
	if m == nil {
		return nil
	}
	return &statsapi.MemoryStats{
		Time: at(m.Timestamp), WorkingSetBytes: value(m.WorkingSetBytes), UsageBytes: value(m.UsageBytes), RSSBytes: value(m.RssBytes),
		AvailableBytes: value(m.AvailableBytes), PageFaults: value(m.PageFaults), MajorPageFaults: value(m.MajorPageFaults), PSI: pressure(m.Psi),
	}
}

func ioStats(io *cri.IoUsage) *statsapi.IOStats {
	if io.GetPsi() == nil {
		return nil // there is nothing else in it
	}
	return &statsapi.IOStats{Time: at(io.Timestamp), PSI: pressure(io.Psi)}
}

func swapStats(s *cri.SwapUsage) *statsapi.SwapStats {
	if s == nil {
		return nil
	}
	return &statsapi.SwapStats{Time: at(s.Timestamp), SwapAvailableBytes: value(s.SwapAvailableBytes), SwapUsageBytes: value(s.SwapUsageBytes)}
}

func writtenStats(f *cri.FilesystemUsage) *statsapi.FsStats {
	if f == nil {
		return nil
	}
	return &statsapi.FsStats{Time: at(f.Timestamp), UsedBytes: value(f.UsedBytes), InodesUsed: value(f.InodesUsed)}
}

func networkStats(n *cri.NetworkUsage) *statsapi.NetworkStats {
	if n.GetDefaultInterface() == nil {
		return nil
	}
	s := &statsapi.NetworkStats{Time: at(n.Timestamp), InterfaceStats: linkStats(n.DefaultInterface)}
	for _, link := range n.Interfaces {
		s.Interfaces = append(s.Interfaces, linkStats(link))
	}
	return s
}

func linkStats(l *cri.NetworkInterfaceUsage) statsapi.InterfaceStats {
	return statsapi.InterfaceStats{Name: l.Name, RxBytes: value(l.RxBytes), TxBytes: value(l.TxBytes), RxErrors: value(l.RxErrors), TxErrors: value(l.TxErrors)}
}

func pressure(p *cri.PsiStats) *statsapi.PSIStats {
	if p == nil {
		return nil
	}
	data := func(d *cri.PsiData) statsapi.PSIData {
		return statsapi.PSIData{Total: d.GetTotal(), Avg10: d.GetAvg10(), Avg60: d.GetAvg60(), Avg300: d.GetAvg300()}
	}
	return &statsapi.PSIStats{Some: data(p.Some), Full: data(p.Full)}
}
