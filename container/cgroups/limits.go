package cgroups

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	library "github.com/opencontainers/cgroups"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Limits of a group. Memory is in bytes, processor time in microseconds of each period, weights of block devices are on
// version 1's scale, 10 to 1000; what is zero is not set.
type Limits = library.Resources

// FromCRI translates what CRI asks for. It leaves devices alone. Limits by the names of their files (unified) are version
// 2's only, and refused where it is not there.
func FromCRI(r *cri.LinuxContainerResources) (*Limits, error) {
	out := &Limits{SkipDevices: true}
	if r == nil {
		return out, nil
	}
	if len(r.Unified) > 0 && !V2() {
		return nil, fmt.Errorf("limits by the names of their files (unified: %s): only cgroup v2 has them, this machine has v1",
			strings.Join(slices.Sorted(maps.Keys(r.Unified)), ", "))
	}
	out.Memory, out.MemorySwap = r.MemoryLimitInBytes, r.MemorySwapLimitInBytes
	out.CpuQuota, out.CpuPeriod = r.CpuQuota, uint64(max(r.CpuPeriod, 0))
	out.CpusetCpus, out.CpusetMems = r.CpusetCpus, r.CpusetMems
	out.Unified = r.Unified
	if r.CpuShares > 0 {
		out.CpuShares = uint64(r.CpuShares)
		out.CpuWeight = library.ConvertCPUSharesToCgroupV2Value(out.CpuShares)
	}
	for _, h := range r.HugepageLimits {
		if !Has("hugetlb") {
			break // kubelets name every size, always; where nothing counts them they are not refused
		}
		out.HugetlbLimit = append(out.HugetlbLimit, &library.HugepageLimit{Pagesize: h.PageSize, Limit: h.Limit})
	}
	return out, nil
}

// Weight is the device's weight, for Limits' BlkioWeightDevice.
func (d Device) Weight(weight uint16) *library.WeightDevice {
	return library.NewWeightDevice(d.Major, d.Minor, weight, 0)
}

// Rate is one device's in one of Limits' BlkioThrottle lists, in bytes or operations a second.
type Rate = library.ThrottleDevice

// Rate bounds the use of the device.
func (d Device) Rate(rate uint64) *Rate { return library.NewThrottleDevice(d.Major, d.Minor, rate) }

// weighDevices sets the weights of devices where version 2 has io.weight alone: beside it, and in version 1, BFQ's files
// take them, which the library writes.
func (g Group) weighDevices(list []*library.WeightDevice) error {
	if len(list) == 0 || !V2() {
		return nil
	}
	if _, err := os.Stat(g.File("io", "", "io.bfq.weight")); err == nil {
		return nil
	}
	file := g.File("io", "", "io.weight")
	for _, w := range list {
		line := fmt.Sprintf("%d:%d %d", w.Major, w.Minor, library.ConvertBlkIOToIOWeightValue(w.Weight))
		if err := os.WriteFile(file, []byte(line), 0); err != nil {
			return fmt.Errorf("block I/O weight of %s: %w", deviceName(w.Major, w.Minor), err)
		}
	}
	return nil
}

// deviceName is what the kernel calls a block device, as far as it tells.
func deviceName(major, minor int64) string {
	number := fmt.Sprintf("%d:%d", major, minor)
	if at, err := os.Readlink("/sys/dev/block/" + number); err == nil {
		return "/dev/" + filepath.Base(at)
	}
	return number
}
