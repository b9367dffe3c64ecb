package container

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/confine"
)

// BenchmarkRunExit runs /bin/true to its end and removes it: by this engine in a pod of its own and in one that runs
// already, and by crun and runc, where they are installed, with the same rights on the same root (without the
// overlay, which is ours to make and not theirs). DHOW_BENCH_PROGRAM is the binary that plays the shim, this test
// if it is not set.
func BenchmarkRunExit(b *testing.B) {
	b.Run("dhow/pod", func(b *testing.B) {
		r := newRig(b)
		for b.Loop() {
			r.runPod()
			r.runExit(command("/bin/true"))
			check(b, r.engine.RemovePodSandbox(context.Background(), r.id))
		}
	})
	b.Run("dhow/container", func(b *testing.B) {
		r := newRig(b)
		r.runPod()
		for b.Loop() {
			r.runExit(command("/bin/true"))
		}
	})
	for _, peer := range []string{"crun", "runc"} {
		b.Run(peer, func(b *testing.B) { benchmarkPeer(b, peer) })
	}
}

// BenchmarkExec runs /bin/true in a running container.
func BenchmarkExec(b *testing.B) {
	r := newRig(b)
	id := r.launch(command("sleep", "1000"))
	for b.Loop() {
		_, err := r.engine.Exec(context.Background(), id, ExecOptions{Command: []string{"/bin/true"}})
		check(b, err)
	}
}

// BenchmarkShimMemory reports what a pod with one idle container has for itself beside the container.
func BenchmarkShimMemory(b *testing.B) {
	r := newRig(b)
	for b.Loop() {
		r.runPod()
		r.launch(command("sleep", "1000"))
	}
	s, err := r.engine.sandbox(r.id)
	check(b, err)
	b.ReportMetric(float64(privateMemory(b, s.ShimPID)), "kB/pod")
	b.ReportMetric(0, "ns/op")
}

// runExit takes a container from its creation to its removal.
func (r *rig) runExit(config *cri.ContainerConfig) {
	id := r.launch(config)
	c, err := r.engine.container(id)
	check(r.t, err)
	<-c.exited
	check(r.t, r.engine.RemoveContainer(context.Background(), id))
}

func benchmarkPeer(b *testing.B, name string) {
	path, err := exec.LookPath(name)
	if err != nil {
		b.Skipf("%s is not installed", name)
	}
	b.Cleanup(func() { RemoveEmptyGroups(benchGroup()) }) // a run that was cut short leaves it
	bundle := b.TempDir()
	data, err := json.Marshal(equivalent(b, newBusybox(b).lower))
	check(b, err)
	check(b, os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o600))
	if name == "crun" {
		hideUnified(b)
	}
	args := []string{"--root", b.TempDir()}
	n := 0
	for b.Loop() {
		n++
		run := append(args[:len(args):len(args)], "run", "--bundle", bundle, fmt.Sprintf("dhow-bench-%d-%d", os.Getpid(), n))
		out, err := exec.Command(path, run...).CombinedOutput()
		if err != nil {
			b.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
}

// benchGroup is the control group of peers' containers.
func benchGroup() string { return fmt.Sprintf("/dhow-bench-%d", os.Getpid()) }

// hideUnified spares crun a machine that has version 2 of cgroups beside version 1, which it refuses. What this
// thread starts sees version 1 only; the thread ends with the goroutine.
func hideUnified(b *testing.B) {
	const unified = "/sys/fs/cgroup/unified"
	if _, err := os.Stat(unified); err != nil {
		return
	}
	runtime.LockOSThread()
	check(b, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
	check(b, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	check(b, unix.Unmount(unified, unix.MNT_DETACH))
}

// equivalent is what the engine gives a container, as an OCI specification.
func equivalent(b *testing.B, root string) *specs.Spec {
	mask, err := confine.Capabilities(nil)
	check(b, err)
	names := confine.CapabilityNames(mask)
	caps := &specs.LinuxCapabilities{Bounding: names, Effective: names, Permitted: names}
	flags := []string{"nosuid", "noexec", "nodev"}
	spec := &specs.Spec{
		Version: "1.0.2", Hostname: "vessel", Root: &specs.Root{Path: root},
		Process: &specs.Process{Args: []string{"/bin/true"}, Env: []string{defaultPath}, Cwd: "/", Capabilities: caps},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: flags},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: append(flags, "mode=1777", "size=65536k")},
			{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: flags},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: append(flags, "ro")},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: append(flags, "relatime", "ro")},
		},
		Linux: &specs.Linux{
			CgroupsPath: benchGroup(), MaskedPaths: defaultMasked, ReadonlyPaths: defaultReadOnly,
			Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}},
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
				{Type: specs.MountNamespace}, {Type: specs.CgroupNamespace},
			},
		},
	}
	spec.Linux.Seccomp, err = seccomp.GetDefaultProfile(spec)
	check(b, err)
	return spec
}
