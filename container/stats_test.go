package container

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cgroups"
)

// groupValue is the number of a line "name number" of a group's file.
func groupValue(t testing.TB, path, name string) (value uint64) {
	t.Helper()
	f, err := os.Open(path)
	check(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if _, err := fmt.Sscanf(lines.Text(), name+" %d", &value); err == nil {
			return value
		}
	}
	t.Fatalf("%s has no %s", path, name)
	return 0
}

func TestMemoryIsCountedAsKubeletsDo(t *testing.T) {
	r := newRig(t)
	config := sh("dd if=/dev/zero of=/tmp/x bs=1M count=8 2>/dev/null; echo done; exec sleep 1000")
	config.Linux.Resources = &cri.LinuxContainerResources{MemoryLimitInBytes: 64 << 20, MemorySwapLimitInBytes: 64 << 20}
	id := r.launch(config)
	r.eventually("it has written", func() bool { return strings.Contains(r.output(), "done") })
	var s *cri.ContainerStats
	r.eventually("what is used is the working set, in it what is resident, and what is inactive, and nothing is swapped out", func() (same bool) {
		var err error
		s, err = r.engine.ContainerStats(context.Background(), id)
		check(t, err)
		inactive := groupValue(t, r.file(id, "memory", "memory.stat", "memory.stat"), either("total_inactive_file", "inactive_file"))
		used, sum := s.Memory.GetUsageBytes().GetValue(), s.Memory.GetWorkingSetBytes().GetValue()+inactive
		const slack = 1 << 20              // the kernel counts in batches, and moves pages from list to list meanwhile
		swap := s.Swap.GetSwapUsageBytes() // version 1 counts memory and swap together, at another moment than memory
		rss, working := s.Memory.GetRssBytes().GetValue(), s.Memory.GetWorkingSetBytes().GetValue()
		if used < 8<<20 || sum+slack < used || sum > used+slack || rss == 0 || rss > working || s.Memory.GetPageFaults().GetValue() == 0 {
			return false
		}
		return swap != nil && swap.Value == 0
	})
	m := s.Memory
	if got := m.GetAvailableBytes().GetValue(); got != 64<<20-m.GetWorkingSetBytes().GetValue() {
		t.Errorf("%d are available", got)
	}
}

func TestTheWritableLayerIsCounted(t *testing.T) {
	r := newRig(t)
	id := r.launch(sh("mkdir /d; dd if=/dev/urandom of=/d/x bs=1M count=2 2>/dev/null; sync; echo done; exec sleep 1000"))
	r.eventually("it has written", func() bool { return strings.Contains(r.output(), "done") })
	s, err := r.engine.ContainerStats(context.Background(), id)
	check(t, err)
	w := s.WritableLayer
	if used := w.GetUsedBytes().GetValue(); used < 2<<20 || used > 3<<20 || w.GetInodesUsed().GetValue() < 3 || w.GetFsId().GetMountpoint() == "" {
		t.Errorf("it is %v", w)
	}
	if again, err := r.engine.ContainerStats(context.Background(), id); err != nil || again.WritableLayer.Timestamp != w.Timestamp {
		t.Errorf("it is counted again at once: %v, %v", again, err)
	}
}

func TestBlockDevicesAreCounted(t *testing.T) {
	r := newRig(t)
	id := r.launch(sh("dd if=/dev/zero of=/tmp/x bs=1M count=4 oflag=direct 2>&1; echo done; exec sleep 1000"))
	r.eventually("it has written", func() bool { return strings.Contains(r.output(), "done") })
	if strings.Contains(r.output(), "nvalid") {
		leftOut(t, "counting writes: the file system of %s has no direct I/O: %s", t.TempDir(), r.output())
		return
	}
	u, err := r.engine.Usage(context.Background(), id)
	check(t, err)
	if u.WriteBytes == 0 && !cgroups.V2() {
		leftOut(t, "counting writes: with cgroup v1 newer kernels count on devices only that are limited")
		return
	}
	if u.WriteBytes < 4<<20 || u.Writes == 0 {
		t.Errorf("%d bytes are written in %d operations", u.WriteBytes, u.Writes)
	}
}

func TestProcessorTimeAndThrottlingAreCounted(t *testing.T) {
	r := newRig(t)
	config := sh("i=0; while true; do i=$((i+1)); done")
	config.Linux.Resources = &cri.LinuxContainerResources{CpuPeriod: 10000, CpuQuota: 1000}
	id := r.launch(config)
	r.eventually("it is held back", func() bool {
		u, err := r.engine.Usage(context.Background(), id)
		check(t, err)
		return u.Throttled > 0 && u.ThrottledPeriods > 1 && u.CPU > 0 && u.User+u.Kernel > 0
	})
}

func TestLinksAndProcessesArePods(t *testing.T) {
	r := newRig(t)
	id := r.launch(sh("echo x | nc 127.0.0.1 9; sleep 1000 & exec sleep 1000"))
	r.eventually("it has sent", func() bool {
		u, err := r.engine.Usage(context.Background(), id)
		check(t, err)
		return u.Pids == 2 && u.Networks["lo"].TxBytes > 0
	})
	private := r.started(command("sleep", "1000"), Extra{Network: NamespacePrivate})
	host := r.started(command("sleep", "1000"), Extra{Network: NamespaceHost})
	for id, want := range map[string]bool{private: true, host: false} {
		u, err := r.engine.Usage(context.Background(), id)
		check(t, err)
		if lo, has := u.Networks["lo"]; has != want || lo.TxBytes != 0 {
			t.Errorf("links are %v", u.Networks)
		}
	}
	pod, err := r.engine.PodSandboxStats(context.Background(), r.id)
	check(t, err)
	if n := pod.Linux.GetProcess().GetProcessCount().GetValue(); n < 4 {
		t.Errorf("the pod has %d processes", n)
	}
	if pod.Linux.GetMemory().GetUsageBytes().GetValue() == 0 || len(pod.Linux.GetContainers()) != 3 || pod.Linux.Network == nil {
		t.Errorf("the pod's figures are %v", pod.Linux)
	}
}

func TestPressureIsToldWhereTheKernelDoes(t *testing.T) {
	r := newRig(t)
	config := sh("i=0; while true; do i=$((i+1)); done")
	config.Linux.Resources = &cri.LinuxContainerResources{CpuPeriod: 10000, CpuQuota: 1000}
	id := r.launch(config)
	if !cgroups.V2() { // which has none, and none is made up
		s, err := r.engine.ContainerStats(context.Background(), id)
		check(t, err)
		if s.Cpu.Psi != nil || s.Memory.Psi != nil || s.Io.Psi != nil {
			t.Errorf("pressure is %v, %v, %v", s.Cpu.Psi, s.Memory.Psi, s.Io.Psi)
		}
		return
	}
	if _, err := os.Stat(r.file(id, "cpu", "", "cpu.pressure")); err != nil {
		leftOut(t, "pressure: this kernel does not tell it: %v", err)
		return
	}
	r.eventually("it waits for the processor", func() bool {
		s, err := r.engine.ContainerStats(context.Background(), id)
		check(t, err)
		return s.Cpu.GetPsi().GetSome().GetTotal() > 0 && s.Memory.Psi != nil && s.Io.Psi != nil
	})
	pod, err := r.engine.PodSandboxStats(context.Background(), r.id)
	check(t, err)
	if pod.Linux.Cpu.GetPsi().GetSome().GetTotal() == 0 || pod.Linux.Memory.Psi == nil || pod.Linux.Io.Psi == nil {
		t.Errorf("the pod's pressure is %v", pod.Linux.Cpu.Psi)
	}
	u, err := r.engine.Usage(context.Background(), id)
	check(t, err)
	if u.CPUPressure == nil || u.MemoryPressure == nil || u.IOPressure == nil {
		t.Errorf("pressure is %+v", u)
	}
}

func TestNoControlGroupsAreLeft(t *testing.T) {
	top := fmt.Sprintf("/dhow-left-%d", os.Getpid())
	exists := func() bool {
		_, err := os.Stat(cgroups.Group(top).File("memory", "", ""))
		return err == nil
	}
	for _, c := range []struct {
		what string
		end  func(r *rig)
	}{
		{"the last pod is removed by an engine that does not run", func(r *rig) {
			r.halt()
			e, err := New(r.config)
			check(t, err)
			check(t, e.RemovePodSandbox(context.Background(), r.id))
			RemoveEmptyGroups(r.config.CgroupParent)
		}},
		{"an engine without pods ends", func(r *rig) {
			check(t, r.engine.RemovePodSandbox(context.Background(), r.id))
			r.halt()
		}},
		{"everything is reset", func(r *rig) {
			r.halt()
			check(t, Reset(context.Background(), r.config))
		}},
	} {
		r := newRig(t)
		r.halt()
		r.config.CgroupParent = top + "/below/engine"
		r.start()
		r.waitExit(r.launch(command("true")))
		if !exists() {
			t.Errorf("%s: there was no group", c.what)
		}
		c.end(r)
		if exists() {
			t.Errorf("%s: the group is left", c.what)
		}
	}
}
