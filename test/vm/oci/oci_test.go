//go:build vm

package oci

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"dhow/internal/apparmortest"
)

// bundle is one whose root has busybox, made of the program's own example.
func bundle(t *testing.T, change func(*specs.Spec), command ...string) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := dhow("spec", "--bundle", dir); err != nil {
		t.Fatalf("spec: %v: %s", err, out)
	}
	var spec specs.Spec
	data, err := os.ReadFile(dir + "/config.json")
	if err == nil {
		err = json.Unmarshal(data, &spec)
	}
	if err != nil {
		t.Fatal(err)
	}
	spec.Process.Terminal, spec.Process.Args, spec.Root.Readonly = false, command, false
	change(&spec)
	if data, err = json.Marshal(spec); err == nil {
		err = os.WriteFile(dir+"/config.json", data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "rootfs/bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err == nil {
		err = os.WriteFile(bin+"/busybox", busybox, 0o755)
	}
	for _, name := range []string{"sh", "cat", "sleep"} {
		if err == nil {
			err = os.Symlink("busybox", filepath.Join(bin, name))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func dhow(args ...string) (string, error) {
	out, err := os.CreateTemp("", "out") // a pipe would be open as long as the container is
	if err != nil {
		return "", err
	}
	defer out.Close()
	defer os.Remove(out.Name())
	cmd := exec.Command("dhow-oci", args...)
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	data, _ := os.ReadFile(out.Name())
	return strings.TrimSpace(string(data)), err
}

func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := dhow(args...)
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// group is the place of the tests' control groups.
const group = "/sys/fs/cgroup/dhow-vm-oci"

func TestARunHasItsLimitsAndLeavesNothing(t *testing.T) {
	t.Cleanup(func() { _ = os.Remove(group) })
	limit, pids, shares := int64(64<<20), int64(32), uint64(2048)
	dir := bundle(t, func(s *specs.Spec) {
		s.Linux.CgroupsPath = "/dhow-vm-oci/run"
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit, Swap: &limit}
		s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &pids}
		s.Linux.Resources.CPU = &specs.LinuxCPU{Shares: &shares, Cpus: "0"}
	}, "sh", "-c", "cd /sys/fs/cgroup; cat memory.max pids.max cpuset.cpus")
	out := must(t, "run", "--bundle", dir, "limited")
	if out != "67108864\n32\n0" {
		t.Errorf("it says %s", out)
	}
	if _, err := os.Stat(group + "/run"); err == nil {
		t.Error("its control group is left")
	}
	if out := must(t, "list", "-q"); out != "" {
		t.Errorf("containers are left: %s", out)
	}
}

func TestALiveContainerIsUpdatedFrozenAndDeleted(t *testing.T) {
	t.Cleanup(func() { _ = os.Remove(group) })
	dir := bundle(t, func(s *specs.Spec) { s.Linux.CgroupsPath = "/dhow-vm-oci/live" }, "sleep", "1000")
	must(t, "create", "--bundle", dir, "live")
	must(t, "start", "live")
	file := func(name string) string {
		data, err := os.ReadFile(group + "/live/" + name)
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(string(data))
	}
	must(t, "update", "--memory", "33554432", "--pids-limit", "16", "--cpu-quota", "50000", "--cpu-period", "100000", "live")
	if got := file("memory.max") + " " + file("pids.max") + " " + file("cpu.max"); got != "33554432 16 50000 100000" {
		t.Errorf("limits are %s", got)
	}
	must(t, "pause", "live")
	if !strings.Contains(file("cgroup.events"), "frozen 1") || !strings.Contains(must(t, "state", "live"), `"paused"`) {
		t.Error("it is not frozen")
	}
	must(t, "resume", "live")
	if !strings.Contains(file("cgroup.events"), "frozen 0") {
		t.Error("it is frozen")
	}
	if out, err := dhow("delete", "live"); err == nil {
		t.Errorf("one that runs is deleted: %s", out)
	}
	must(t, "delete", "--force", "live")
	if _, err := os.Stat(group + "/live"); err == nil {
		t.Error("its control group is left")
	}
}

func TestSystemdIsMissedInWords(t *testing.T) {
	dir := bundle(t, func(*specs.Spec) {}, "sleep", "1")
	out, err := dhow("--systemd-cgroup", "run", "--bundle", dir, "scope")
	if err == nil || !strings.Contains(out, "systemd does not run on this machine; leave --systemd-cgroup out") {
		t.Errorf("it says %s", out)
	}
}

// Docker names its profile for every container where the kernel has AppArmor.
func TestAContainerIsConfinedByItsProfile(t *testing.T) {
	t.Cleanup(func() { _ = os.Remove(group) })
	apparmortest.Load(t, "dhow-vm-oci", apparmortest.Complain)
	dir := bundle(t, func(s *specs.Spec) {
		s.Linux.CgroupsPath = "/dhow-vm-oci/confined"
		s.Process.ApparmorProfile = "dhow-vm-oci"
	}, "sh", "-c", "read profile < /proc/self/attr/current; exec sleep 1000")
	must(t, "run", "--detach", "--bundle", dir, "confined")
	t.Cleanup(func() { must(t, "delete", "--force", "confined") })
	if out := must(t, "exec", "confined", "sh", "-c", "read profile < /proc/self/attr/current; echo \"$profile\""); out != "dhow-vm-oci (complain)" {
		t.Errorf("what is executed has %q", out)
	}
}
