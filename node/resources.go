package node

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/opencontainers/cgroups"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// resources are a container's requests and limits, as the kernel takes them.
func (n *Node) resources(pod *corev1.Pod, c *corev1.Container) *cri.LinuxContainerResources {
	cpu := c.Resources.Requests.Cpu().MilliValue()
	if _, asked := c.Resources.Requests[corev1.ResourceCPU]; !asked {
		cpu = c.Resources.Limits.Cpu().MilliValue()
	}
	r := &cri.LinuxContainerResources{
		CpuShares: shares(cpu), MemoryLimitInBytes: c.Resources.Limits.Memory().Value(), OomScoreAdj: n.oomScore(pod, c),
		HugepageLimits: hugePages(c.Resources.Limits, cgroups.HugePageSizes()), Unified: unified(),
	}
	r.MemorySwapLimitInBytes = r.MemoryLimitInBytes // no swap beyond
	if limit := c.Resources.Limits.Cpu().MilliValue(); limit > 0 {
		r.CpuPeriod, r.CpuQuota = cpuPeriod, quota(limit)
	}
	return r
}

// hugePages limits each of the machine's sizes ("2MB", as control groups name them): who asks for none has none.
func hugePages(limits corev1.ResourceList, sizes []string) []*cri.HugepageLimit {
	asked := map[string]uint64{}
	for name, quantity := range limits {
		if size, ok := strings.CutPrefix(string(name), corev1.ResourceHugePagesPrefix); ok {
			if bytes, err := resource.ParseQuantity(size); err == nil { // it is validated
				asked[pageSize(bytes.Value())] = uint64(quantity.Value())
			}
		}
	}
	var all []*cri.HugepageLimit
	for _, size := range sizes {
		all = append(all, &cri.HugepageLimit{PageSize: size, Limit: asked[size]})
	}
	return all
}

func pageSize(bytes int64) string {
	size, unit := bytes, "B"
	for _, next := range []string{"KB", "MB", "GB"} {
		if size < 1024 {
			break
		}
		size, unit = size/1024, next
	}
	return fmt.Sprintf("%d%s", size, unit)
}

// unified is what containers have under cgroup v2, as with upstream: when one of their processes is killed for want of memory
// all are, and nothing of theirs is swapped out. It does not change while the machine runs.
var unified = sync.OnceValue(func() map[string]string {
	if !cgroups.IsCgroup2UnifiedMode() {
		return nil
	}
	files := map[string]string{"memory.oom.group": "1"}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return files
	}
	group := strings.TrimPrefix(strings.TrimSpace(string(own)), "0::")
	if _, err := os.Stat(filepath.Join("/sys/fs/cgroup", group, "memory.swap.max")); err == nil { // a kernel may lack it
		files["memory.swap.max"] = "0"
	}
	return files
})

// oomScore has the kernel kill first what asked for least (upstream's scale).
func (n *Node) oomScore(pod *corev1.Pod, c *corev1.Container) int64 {
	switch qosOf(pod) {
	case corev1.PodQOSGuaranteed:
		return -997
	case corev1.PodQOSBestEffort:
		return 1000
	}
	capacity := n.allocatable.Memory().Value()
	share := int64(math.Floor(1000 * float64(c.Resources.Requests.Memory().Value()) / float64(max(capacity, 1))))
	return min(max(1000-share, 3), 999)
}
