package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/cgroups"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// groupFile reads a file of a container's group: that of version 2, or that of a controller of version 1.
func (r *rig) groupFile(id, controller, v1, v2 string) string {
	r.t.Helper()
	tops, err := hierarchies()
	check(r.t, err)
	path := filepath.Join(tops[controller], r.details(id).Cgroup, v1)
	if cgroups.IsCgroup2UnifiedMode() {
		path = filepath.Join(tops[""], r.details(id).Cgroup, v2)
	}
	data, err := os.ReadFile(path)
	check(r.t, err)
	return strings.TrimSpace(string(data))
}

func TestLimitsHoldAndChangeWhileTheContainerRuns(t *testing.T) {
	r := newRig(t)
	pids := int64(20)
	name, major, minor := disk(t)
	config := command("sleep", "1000")
	config.Linux.Resources = &cri.LinuxContainerResources{
		CpuShares: 512, CpuPeriod: 100000, CpuQuota: 50000, MemoryLimitInBytes: 64 << 20, CpusetCpus: "0", CpusetMems: "0",
	}
	id := r.started(config, Extra{
		PidsLimit: &pids, MemoryReservation: 16 << 20,
		BlockIO: BlockIO{WriteBPS: []DeviceLimit{{name, 1 << 20}}, ReadIOPS: []DeviceLimit{{name, 100}}},
	})
	v2 := cgroups.IsCgroup2UnifiedMode()
	either := func(first, second string) string {
		if v2 {
			return second
		}
		return first
	}
	device := fmt.Sprintf("%d:%d", major, minor)
	look := func(when string, want map[[3]string]string) {
		t.Helper()
		for file, value := range want {
			if got := r.groupFile(id, file[0], file[1], file[2]); !strings.Contains(got, value) {
				t.Errorf("%s: %s is %q, want %q", when, either(file[1], file[2]), got, value)
			}
		}
	}
	look("at first", map[[3]string]string{
		{"cpu", "cpu.shares", "cpu.weight"}:                    either("512", ""),
		{"cpu", "cpu.cfs_quota_us", "cpu.max"}:                 either("50000", "50000 100000"),
		{"memory", "memory.limit_in_bytes", "memory.max"}:      fmt.Sprint(64 << 20),
		{"memory", "memory.soft_limit_in_bytes", "memory.low"}: fmt.Sprint(16 << 20),
		{"pids", "pids.max", "pids.max"}:                       "20",
		{"cpuset", "cpuset.cpus", "cpuset.cpus"}:               "0",
		{"blkio", "blkio.throttle.write_bps_device", "io.max"}: either(device+" 1048576", "wbps=1048576"),
		{"blkio", "blkio.throttle.read_iops_device", "io.max"}: either(device+" 100", "riops=100"),
		{"devices", "devices.list", "cgroup.controllers"}:      either("c 1:3 rwm", "memory"),
	})
	pids = 30
	check(t, r.engine.UpdateContainerWith(context.Background(), id, &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 20000, MemoryLimitInBytes: 96 << 20},
		Extra{PidsLimit: &pids, BlockIO: BlockIO{WriteBPS: []DeviceLimit{{name, 2 << 20}}}}))
	look("changed", map[[3]string]string{
		{"cpu", "cpu.cfs_quota_us", "cpu.max"}:                 either("20000", "20000 100000"),
		{"memory", "memory.limit_in_bytes", "memory.max"}:      fmt.Sprint(96 << 20),
		{"pids", "pids.max", "pids.max"}:                       "30",
		{"blkio", "blkio.throttle.write_bps_device", "io.max"}: either(device+" 2097152", "wbps=2097152"),
	})
	if _, err := r.engine.CreateContainerWith(context.Background(), r.id, command("true"), r.pod, Extra{MemorySwap: -2}); err == nil {
		t.Error("negative swap is taken")
	}
}

func TestForksBeyondTheLimitFail(t *testing.T) {
	r := newRig(t)
	pids := int64(8)
	out, _ := r.resultWith(sh("i=0; while [ $i -lt 20 ]; do sleep 5 & i=$((i+1)); done; echo all"), Extra{PidsLimit: &pids})
	if !strings.Contains(out, "fork") || strings.Contains(out, "all") {
		t.Errorf("it says %s", out)
	}
}
