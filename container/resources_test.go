package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cgroups"
)

// file is the path of a file of a container's group.
func (r *rig) file(id, controller, v1, v2 string) string {
	return cgroups.Group(r.details(id).Cgroup).File(controller, v1, v2)
}

// limitCase is one limit: how it is asked for and changed, and what the kernel says of it then. An empty want is not
// looked for; a version without a file is left out.
type limitCase struct {
	name               string
	resources, update  *cri.LinuxContainerResources
	extra, updateExtra Extra
	controller         string
	v1, v2             string
	want1, want2       string
	then1, then2       string
}

func limitCases(name string, major, minor uint32) []limitCase {
	n := func(n int64) *int64 { return &n }
	u := func(n uint64) *uint64 { return &n }
	device := func(format string) string { return fmt.Sprintf("%d:%d "+format, major, minor) }
	throttle := func(rate uint64) []DeviceLimit { return []DeviceLimit{{name, rate}} }
	type res = cri.LinuxContainerResources
	return []limitCase{
		{name: "memory", resources: &res{MemoryLimitInBytes: 64 << 20}, update: &res{MemoryLimitInBytes: 96 << 20},
			controller: "memory", v1: "memory.limit_in_bytes", v2: "memory.max", want1: "67108864", want2: "67108864", then1: "100663296", then2: "100663296"},
		{name: "memory and swap", resources: &res{MemoryLimitInBytes: 64 << 20}, extra: Extra{MemorySwap: 96 << 20},
			update: &res{MemoryLimitInBytes: 128 << 20}, updateExtra: Extra{MemorySwap: 192 << 20},
			controller: "memory", v1: "memory.memsw.limit_in_bytes", v2: "memory.swap.max", want1: "100663296", want2: "33554432", then1: "201326592", then2: "67108864"},
		{name: "no swap", resources: &res{MemoryLimitInBytes: 64 << 20, MemorySwapLimitInBytes: 64 << 20}, update: &res{MemoryLimitInBytes: 96 << 20, MemorySwapLimitInBytes: 96 << 20},
			controller: "memory", v1: "memory.memsw.limit_in_bytes", v2: "memory.swap.max", want1: "67108864", want2: "0", then1: "100663296", then2: "0"},
		{name: "all swap", resources: &res{MemoryLimitInBytes: 64 << 20}, extra: Extra{MemorySwap: -1}, updateExtra: Extra{MemorySwap: -1},
			controller: "memory", v1: "memory.memsw.limit_in_bytes", v2: "memory.swap.max", want1: "9223372036854771712", want2: "max", then1: "9223372036854771712", then2: "max"},
		{name: "reservation", extra: Extra{MemoryReservation: 16 << 20}, updateExtra: Extra{MemoryReservation: 24 << 20},
			controller: "memory", v1: "memory.soft_limit_in_bytes", v2: "memory.low", want1: "16777216", want2: "16777216", then1: "25165824", then2: "25165824"},
		{name: "swappiness", extra: Extra{Swappiness: u(10)}, updateExtra: Extra{Swappiness: u(20)},
			controller: "memory", v1: "memory.swappiness", want1: "10", then1: "20"},
		{name: "processor shares", resources: &res{CpuShares: 512}, update: &res{CpuShares: 2048},
			controller: "cpu", v1: "cpu.shares", v2: "cpu.weight", want1: "512", want2: "59", then1: "2048", then2: "174"},
		{name: "processor quota", resources: &res{CpuPeriod: 100000, CpuQuota: 50000}, update: &res{CpuPeriod: 50000, CpuQuota: 10000},
			controller: "cpu", v1: "cpu.cfs_quota_us", v2: "cpu.max", want1: "50000", want2: "50000 100000", then1: "10000", then2: "10000 50000"},
		{name: "processor period", resources: &res{CpuPeriod: 20000, CpuQuota: 10000}, update: &res{CpuQuota: -1, CpuPeriod: 20000},
			controller: "cpu", v1: "cpu.cfs_period_us", v2: "cpu.max", want1: "20000", want2: "10000 20000", then1: "20000", then2: "max 20000"},
		{name: "processors", resources: &res{CpusetCpus: "0"}, update: &res{CpusetCpus: "0-1"},
			controller: "cpuset", v1: "cpuset.cpus", v2: "cpuset.cpus", want1: "0", want2: "0", then1: "0-1", then2: "0-1"},
		{name: "memory nodes", resources: &res{CpusetMems: "0"}, update: &res{CpusetMems: "0"},
			controller: "cpuset", v1: "cpuset.mems", v2: "cpuset.mems", want1: "0", want2: "0", then1: "0", then2: "0"},
		{name: "processes", extra: Extra{PidsLimit: n(20)}, updateExtra: Extra{PidsLimit: n(30)},
			controller: "pids", v1: "pids.max", v2: "pids.max", want1: "20", want2: "20", then1: "30", then2: "30"},
		{name: "processes without end", extra: Extra{PidsLimit: n(20)}, updateExtra: Extra{PidsLimit: n(-1)},
			controller: "pids", v1: "pids.max", v2: "pids.max", want1: "20", want2: "20", then1: "max", then2: "max"},
		{name: "huge pages", resources: &res{HugepageLimits: []*cri.HugepageLimit{{PageSize: "2MB", Limit: 4 << 20}}},
			update:     &res{HugepageLimits: []*cri.HugepageLimit{{PageSize: "2MB", Limit: 8 << 20}}},
			controller: "hugetlb", v1: "hugetlb.2MB.limit_in_bytes", v2: "hugetlb.2MB.max", want1: "4194304", want2: "4194304", then1: "8388608", then2: "8388608"},
		{name: "unified", resources: &res{Unified: map[string]string{"memory.high": "33554432", "memory.oom.group": "1"}}, update: &res{Unified: map[string]string{"memory.high": "50331648"}},
			v2: "memory.high", want2: "33554432", then2: "50331648"},
		{name: "killed together", resources: &res{Unified: map[string]string{"memory.oom.group": "1"}},
			v2: "memory.oom.group", want2: "1", then2: "1"},
		{name: "block I/O weight", extra: Extra{BlockIO: BlockIO{Weight: 100}}, updateExtra: Extra{BlockIO: BlockIO{Weight: 200}},
			controller: "blkio", v1: "blkio.bfq.weight", v2: "io.bfq.weight", want1: "100", want2: "default 100", then1: "200", then2: "default 200"},
		{name: "weight of a device", extra: Extra{BlockIO: BlockIO{WeightDevices: []WeightDevice{{name, 100}}}}, updateExtra: Extra{BlockIO: BlockIO{WeightDevices: []WeightDevice{{name, 200}}}},
			controller: "blkio", v1: "blkio.bfq.weight_device", v2: "io.bfq.weight", want1: device("100"), want2: device("100"), then1: device("200"), then2: device("200")},
		{name: "reading bytes", extra: Extra{BlockIO: BlockIO{ReadBPS: throttle(1 << 20)}}, updateExtra: Extra{BlockIO: BlockIO{ReadBPS: throttle(2 << 20)}},
			controller: "blkio", v1: "blkio.throttle.read_bps_device", v2: "io.max", want1: device("1048576"), want2: device("rbps=1048576"), then1: device("2097152"), then2: device("rbps=2097152")},
		{name: "writing bytes", extra: Extra{BlockIO: BlockIO{WriteBPS: throttle(1 << 20)}}, updateExtra: Extra{BlockIO: BlockIO{WriteBPS: throttle(2 << 20)}},
			controller: "blkio", v1: "blkio.throttle.write_bps_device", v2: "io.max", want1: device("1048576"), want2: "wbps=1048576", then1: device("2097152"), then2: "wbps=2097152"},
		{name: "reading operations", extra: Extra{BlockIO: BlockIO{ReadIOPS: throttle(100)}}, updateExtra: Extra{BlockIO: BlockIO{ReadIOPS: throttle(200)}},
			controller: "blkio", v1: "blkio.throttle.read_iops_device", v2: "io.max", want1: device("100"), want2: "riops=100", then1: device("200"), then2: "riops=200"},
		{name: "writing operations", extra: Extra{BlockIO: BlockIO{WriteIOPS: throttle(100)}}, updateExtra: Extra{BlockIO: BlockIO{WriteIOPS: throttle(200)}},
			controller: "blkio", v1: "blkio.throttle.write_iops_device", v2: "io.max", want1: device("100"), want2: "wiops=100", then1: device("200"), then2: "wiops=200"},
	}
}

func TestLimitsHoldAndChangeWhileTheContainerRuns(t *testing.T) {
	r := newRig(t)
	v2 := cgroups.V2()
	for _, c := range limitCases(disk(t)) {
		if v2 && c.v2 == "" || !v2 && c.v1 == "" {
			continue // the other version's
		}
		t.Run(c.name, func(t *testing.T) {
			if !v2 && !cgroups.Has(c.controller) {
				leftOut(t, "%s: this machine has no %s controller", c.name, c.controller)
				return
			}
			if len(c.extra.BlockIO.WeightDevices) > 0 && !scheduledByBFQ(c.extra.BlockIO.WeightDevices[0].Path) {
				leftOut(t, "%s: BFQ does not schedule %s", c.name, c.extra.BlockIO.WeightDevices[0].Path)
				return
			}
			config := command("sleep", "1000")
			config.Linux.Resources = c.resources
			r.t = t
			id := r.started(config, c.extra)
			look := func(when, want1, want2 string) {
				t.Helper()
				path := r.file(id, c.controller, c.v1, c.v2)
				want := want1
				if v2 {
					want = want2
				}
				data, err := os.ReadFile(path)
				if err != nil {
					leftOut(t, "%s: %v", c.name, err)
				} else if got := strings.TrimSpace(string(data)); got != want && !strings.Contains(got, want+" ") && !strings.HasSuffix(got, want) {
					t.Errorf("%s: %s is %q, want %q", when, filepath.Base(path), got, want)
				}
			}
			look("at first", c.want1, c.want2)
			check(t, r.engine.UpdateContainerWith(context.Background(), id, c.update, c.updateExtra))
			look("changed", c.then1, c.then2)
			check(t, r.engine.RemoveContainer(context.Background(), id))
		})
	}
	r.t = t
}

func scheduledByBFQ(device string) bool {
	data, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(device), "queue/scheduler"))
	return err == nil && strings.Contains(string(data), "[bfq]")
}

func TestAnUpdateKeepsWhatItDoesNotName(t *testing.T) {
	r := newRig(t)
	config := command("sleep", "1000")
	config.Linux.Resources = &cri.LinuxContainerResources{CpuShares: 512, MemoryLimitInBytes: 64 << 20, OomScoreAdj: 300}
	id := r.launch(config)
	update := &cri.ContainerResources{Linux: &cri.LinuxContainerResources{MemoryLimitInBytes: 96 << 20}}
	check(t, r.engine.UpdateContainerResources(context.Background(), id, update))
	got := r.status(id).Resources.GetLinux()
	if got.GetCpuShares() != 512 || got.GetMemoryLimitInBytes() != 96<<20 || got.GetOomScoreAdj() != 300 {
		t.Errorf("the status says %v", got)
	}
	shares := r.file(id, "cpu", "cpu.shares", "cpu.weight")
	if data, err := os.ReadFile(shares); err != nil || strings.TrimSpace(string(data)) != either("512", "59") {
		t.Errorf("%s says %s, %v", shares, data, err)
	}
}

// either is what holds under the machine's version of cgroups.
func either(v1, v2 string) string {
	if cgroups.V2() {
		return v2
	}
	return v1
}

func TestLimitsThatMakeNoSenseAreRefused(t *testing.T) {
	r := newRig(t)
	r.runPod()
	for want, c := range map[string]struct {
		resources *cri.LinuxContainerResources
		extra     Extra
	}{
		"memory reservation and swap cannot be negative":              {nil, Extra{MemorySwap: -2}},
		"memory reservation, 33554432, is more than the memory limit": {&cri.LinuxContainerResources{MemoryLimitInBytes: 16 << 20}, Extra{MemoryReservation: 32 << 20}},
		"are less than the memory limit":                              {&cri.LinuxContainerResources{MemoryLimitInBytes: 16 << 20}, Extra{MemorySwap: 8 << 20}},
		"block I/O weight 5 is not between 10 and 1000":               {nil, Extra{BlockIO: BlockIO{Weight: 5}}},
		"device /dev/null: not a block device":                        {nil, Extra{BlockIO: BlockIO{ReadBPS: []DeviceLimit{{"/dev/null", 1}}}}},
		either("only cgroup v2 has", "no-such.file"):                  {&cri.LinuxContainerResources{Unified: map[string]string{"no-such.file": "1"}}, Extra{}},
		"cpuset": {&cri.LinuxContainerResources{CpusetCpus: "4000"}, Extra{}},
	} {
		config := command("true")
		config.Linux.Resources = c.resources
		if _, err := r.engine.CreateContainerWith(context.Background(), r.id, config, r.pod, c.extra); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestForksBeyondTheLimitFail(t *testing.T) {
	r := newRig(t)
	pids := int64(8)
	out, _ := r.resultWith(sh("i=0; while [ $i -lt 20 ]; do sleep 1000 & i=$((i+1)); done; echo all"), Extra{PidsLimit: &pids})
	if !strings.Contains(out, "fork") || strings.Contains(out, "all") {
		t.Errorf("it says %s", out)
	}
}

func TestDevicesAreThoseThatAreAllowed(t *testing.T) {
	r := newRig(t)
	// Where the group's filter lets a number through that no driver has, the kernel misses the driver.
	try := sh("mknod /tmp/d c 42 7; mknod /tmp/mem c 1 1; (: < /tmp/d) 2>&1; (: >> /tmp/d) 2>&1; (: < /tmp/mem) 2>&1")
	const denied, missed = "Operation not permitted", "No such device or address"
	for rule, want := range map[string][]string{
		"": {denied, denied, denied}, "c 42:* r": {missed, denied, denied}, "c 42:7 rw": {missed, missed, denied}, "c 41:* rw": {denied, denied, denied},
		"b 42:7 rw": {denied, denied, denied},
	} {
		var extra Extra
		if rule != "" {
			extra.DeviceRules = []string{rule}
		}
		out, _ := r.resultWith(try, extra)
		lines := strings.Split(out, "\n")
		for i, why := range want {
			if len(lines) != len(want) || !strings.HasSuffix(lines[i], why) {
				t.Errorf("rule %q: it says\n%s\nwant %q", rule, out, want)
				break
			}
		}
	}
}

func TestProcessesAreKilledTogetherWhereThatIsAskedFor(t *testing.T) {
	r := newRig(t)
	config := sh("dd if=/dev/zero of=/dev/null bs=64M count=1; echo survived; sleep 1000")
	config.Linux.Resources = &cri.LinuxContainerResources{MemoryLimitInBytes: 16 << 20, Unified: map[string]string{"memory.oom.group": "1", "memory.swap.max": "0"}}
	if !cgroups.V2() { // which cannot, and says so
		r.runPod()
		_, err := r.engine.CreateContainer(context.Background(), r.id, config, nil)
		if err == nil || !strings.Contains(err.Error(), "memory.oom.group") {
			t.Errorf("error is %v", err)
		}
		return
	}
	if out, status := r.result(config); status.Reason != reasonOOMKilled || strings.Contains(out, "survived") {
		t.Errorf("status is %v, it says %s", status, out)
	}
}
