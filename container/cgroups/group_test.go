package cgroups

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(2 * time.Minute); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("in vain: %s", what)
		}
	}
}

// testGroup is a group of the test's own, which goes with it.
func testGroup(t *testing.T) Group {
	g := Group(fmt.Sprintf("/dhow-groups-%d/group", os.Getpid()))
	t.Cleanup(func() {
		if err := g.Reset(); err != nil {
			t.Error(err)
		}
		g.RemoveEmpty("/")
	})
	return g
}

// run starts a script in a group.
func run(t *testing.T, g Group, script string) *exec.Cmd {
	t.Helper()
	dirs, err := g.Make(&Limits{SkipDevices: true})
	check(t, err)
	cmd := exec.Command("sh", "-c", "read go; "+script)
	in, err := cmd.StdinPipe()
	check(t, err)
	check(t, cmd.Start())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() { check(t, g.Reset()); <-ended })
	for _, dir := range dirs {
		check(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0))
	}
	_, err = in.Write([]byte("\n"))
	check(t, err)
	return cmd
}

// empty says whether all of a group's processes have ended.
func empty(t *testing.T, g Group) func() bool {
	return func() bool {
		pids, err := g.Processes()
		check(t, err)
		return len(pids) == 0
	}
}

func TestAGroupIsMadeInEveryHierarchyAndRemoved(t *testing.T) {
	g := testGroup(t)
	made, err := g.Make(&Limits{SkipDevices: true, Memory: 64 << 20})
	check(t, err)
	data, err := os.ReadFile(g.File("memory", "memory.limit_in_bytes", "memory.max"))
	check(t, err)
	if strings.TrimSpace(string(data)) != fmt.Sprint(64<<20) {
		t.Errorf("the limit is %s", data)
	}
	for _, dir := range made {
		if filepath.Base(dir) != "group" {
			t.Errorf("it is in %s", dir)
		}
	}
	for range 2 {
		check(t, g.Remove())
	}
	if left, err := g.Dirs(); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestNothingStaysOfAGroupWhoseLimitsAreRefused(t *testing.T) {
	g := testGroup(t)
	if _, err := g.Make(&Limits{SkipDevices: true, CpusetCpus: "4000"}); err == nil {
		t.Error("a processor that is not there is given")
	}
	if left, err := g.Dirs(); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestAGroupInAnotherStaysInIt(t *testing.T) {
	for name, want := range map[string]Group{"pod": "/dhow/pod", "a/b": "/dhow/a/b", "/a": "/dhow/a", "../../etc": "/dhow/etc", "a/../..": "/dhow"} {
		if got := Group("/dhow").In(name); got != want {
			t.Errorf("%q is %s, want %s", name, got, want)
		}
	}
}

func TestKillReachesWhatIsForkedMeanwhile(t *testing.T) {
	g := testGroup(t)
	run(t, g, "next() { next & }; next; while :; do next; done")
	eventually(t, "they fork", func() bool { return !empty(t, g)() })
	check(t, g.Kill())
	eventually(t, "all end", empty(t, g))
}

// Version 2 kills a whole group, in which nobody has mere threads: there is nobody to spare.
func TestKillSparesWhoItIsToldToUnderVersion1(t *testing.T) {
	g := testGroup(t)
	spared := run(t, g, "exec sleep 1000").Process.Pid
	run(t, g, "exec sleep 1000")
	var left []int
	if !V2() {
		left = []int{spared}
	}
	check(t, g.Kill(spared))
	eventually(t, "the others end", func() bool {
		pids, err := g.Processes()
		check(t, err)
		return slices.Equal(pids, left)
	})
}

func TestWhatIsFrozenStandsStillAndCanBeKilled(t *testing.T) {
	g := testGroup(t)
	file := filepath.Join(t.TempDir(), "counted")
	run(t, g, "while :; do echo x >> "+file+"; done")
	written := func() int64 {
		info, err := os.Stat(file)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	grows := func() bool { before := written(); return written() > before }
	eventually(t, "it writes", grows)
	check(t, g.Freeze())
	if before := written(); !g.Frozen() || written() != before {
		t.Error("it goes on")
	}
	check(t, g.Thaw())
	eventually(t, "it goes on", grows)
	check(t, g.Freeze())
	check(t, g.Kill())
	eventually(t, "it ends", empty(t, g))
	check(t, g.Remove())
}

func TestResetEndsAndRemovesWhatIsBelow(t *testing.T) {
	g := testGroup(t)
	top := Group(filepath.Dir(string(g)))
	run(t, g.In("frozen"), "exec sleep 1000")
	run(t, g.In("a/b"), "exec sleep 1000")
	check(t, g.In("frozen").Freeze())
	check(t, top.Reset())
	if left, err := top.Dirs(); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestTheWholeMachineIsNotReset(t *testing.T) {
	for _, g := range []Group{"", "/", "//", "/dhow/.."} {
		if err := g.Reset(); err == nil || !strings.Contains(err.Error(), "whole machine") {
			t.Errorf("%q: %v", g, err)
		}
	}
}

func TestGroupsAboveGoWhenTheyAreEmpty(t *testing.T) {
	g := testGroup(t)
	for _, name := range []string{"a/b/c", "a/other"} {
		_, err := g.In(name).Make(&Limits{SkipDevices: true})
		check(t, err)
	}
	g.In("a/b/c").RemoveEmpty(g)
	for name, want := range map[string]bool{"a/b": false, "a/other": true} {
		if dirs, err := g.In(name).Dirs(); err != nil || len(dirs) > 0 != want {
			t.Errorf("%s is in %v, %v", name, dirs, err)
		}
	}
}

func TestAGroupThatIsGoneHasNothingInIt(t *testing.T) {
	g := testGroup(t)
	check(t, g.Kill())
	check(t, g.Thaw())
	if !empty(t, g)() || g.Frozen() {
		t.Error("there is something in it")
	}
}

func TestCountersAreToldInCRIsWords(t *testing.T) {
	g := testGroup(t)
	run(t, g, "exec sh -c 'while :; do :; done'") // what it had before is counted elsewhere
	check(t, g.Set(&Limits{SkipDevices: true, Memory: 64 << 20}))
	eventually(t, "it uses the processor and memory", func() bool {
		s, err := g.Stats()
		check(t, err)
		m := s.Memory()
		return s.CPU().UsageCoreNanoSeconds.Value > 0 && m.UsageBytes.Value > 0 && s.Processes().ProcessCount.Value == 1 && s.MemoryLimit() == 64<<20 &&
			m.AvailableBytes.GetValue() == 64<<20-m.WorkingSetBytes.Value
	})
}

func TestLimitsByFilesAreForVersion2(t *testing.T) {
	_, err := FromCRI(&cri.LinuxContainerResources{Unified: map[string]string{"memory.high": "max"}})
	if V2() != (err == nil) || err != nil && !strings.Contains(err.Error(), "memory.high") {
		t.Errorf("error is %v", err)
	}
}
