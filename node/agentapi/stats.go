package agentapi

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-base/metrics/legacyregistry"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

func (a *api) summary(w http.ResponseWriter, r *http.Request) {
	stats, err := a.Runtime.ListPodSandboxStats(r.Context(), nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s := statsapi.Summary{Node: statsapi.NodeStats{NodeName: a.NodeName, Fs: diskStats(a.Disk)}, Pods: []statsapi.PodStats{}}
	for _, p := range stats {
		s.Pods = append(s.Pods, podStats(p))
	}
	s.Node.CPU, s.Node.Memory = machineStats()
	s.Node.CPU.PSI, s.Node.Memory.PSI = machinePressure("cpu"), machinePressure("memory")
	if psi := machinePressure("io"); psi != nil {
		s.Node.IO = &statsapi.IOStats{Time: s.Node.CPU.Time, PSI: psi}
	}
	writeJSON(w, s)
}

// machineStats are the whole machine's processor time and memory (proc_stat(5), proc_meminfo(5)).
func machineStats() (*statsapi.CPUStats, *statsapi.MemoryStats) {
	now := metav1.Now()
	cpu, memory := &statsapi.CPUStats{Time: now}, &statsapi.MemoryStats{Time: now}
	if busy, err := busyNanoseconds(); err == nil {
		cpu.UsageCoreNanoSeconds = &busy
	}
	if total, available, err := meminfo(); err == nil {
		used := total - available
		memory.AvailableBytes, memory.WorkingSetBytes, memory.UsageBytes = &available, &used, &used
	}
	return cpu, memory
}

func diskStats(dir string) *statsapi.FsStats {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return nil
	}
	size := uint64(st.Bsize)
	available, capacity, used := st.Bavail*size, st.Blocks*size, (st.Blocks-st.Bfree)*size
	inodes, free := st.Files, st.Ffree
	return &statsapi.FsStats{Time: metav1.Now(), AvailableBytes: &available, CapacityBytes: &capacity, UsedBytes: &used, Inodes: &inodes, InodesFree: &free}
}

// metrics are those of the process, which all components share.
func (a *api) metrics(w http.ResponseWriter, r *http.Request) {
	legacyregistry.Handler().ServeHTTP(w, r)
}

// resourceMetrics are usage by container, in the text format of Prometheus, as metrics-server reads it.
func (a *api) resourceMetrics(w http.ResponseWriter, r *http.Request) {
	stats, err := a.Runtime.ListPodSandboxStats(r.Context(), nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var cpu, memory strings.Builder
	for _, p := range stats {
		s := podStats(p)
		for _, c := range s.Containers {
			labels := fmt.Sprintf("{container=%q,namespace=%q,pod=%q}", c.Name, s.PodRef.Namespace, s.PodRef.Name)
			if c.CPU != nil && c.CPU.UsageCoreNanoSeconds != nil {
				fmt.Fprintf(&cpu, "container_cpu_usage_seconds_total%s %g %d\n", labels, float64(*c.CPU.UsageCoreNanoSeconds)/1e9, c.CPU.Time.UnixMilli())
			}
			if c.Memory != nil && c.Memory.WorkingSetBytes != nil {
				fmt.Fprintf(&memory, "container_memory_working_set_bytes%s %d %d\n", labels, *c.Memory.WorkingSetBytes, c.Memory.Time.UnixMilli())
			}
		}
	}
	node, bytes := machineStats()
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprintf(w, "# TYPE container_cpu_usage_seconds_total counter\n%s# TYPE container_memory_working_set_bytes gauge\n%s", cpu.String(), memory.String())
	if node.UsageCoreNanoSeconds != nil && bytes.WorkingSetBytes != nil {
		fmt.Fprintf(w, "# TYPE node_cpu_usage_seconds_total counter\nnode_cpu_usage_seconds_total %g\n", float64(*node.UsageCoreNanoSeconds)/1e9)
		fmt.Fprintf(w, "# TYPE node_memory_working_set_bytes gauge\nnode_memory_working_set_bytes %d\n", *bytes.WorkingSetBytes)
	}
}
