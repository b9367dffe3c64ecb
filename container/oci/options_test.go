package oci_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dhow/container/oci"
)

// sh is a command for the container's shell.
func sh(text string) []string { return []string{"sh", "-c", text} }

func TestAProcessIsAsTheBundleSays(t *testing.T) {
	for name, c := range map[string]struct {
		command []string
		change  func(*specs.Spec)
		want    string
	}{
		"personality": {[]string{"uname", "-m"}, func(s *specs.Spec) {
			s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		}, "i686"},
		"ioPriority": {[]string{"ionice"}, func(s *specs.Spec) {
			s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 6}
		}, "best-effort: prio 6"},
		"scheduler": {sh("cut -d' ' -f19,41 /proc/self/stat"), func(s *specs.Spec) {
			s.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 7}
		}, "7 3"},
		"memoryPolicy": {sh("grep -c -v bind:0 /proc/self/numa_maps; true"), func(s *specs.Spec) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0"}
		}, "0"},
		"timeOffsets": {sh("cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime | grep -c '^[1-9]......$'"), func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
			s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 5000000, Nanosecs: 7}}
		}, "monotonic           0         0\nboottime      5000000         7\n1"},
		"seccomp flags": {sh("grep Seccomp: /proc/self/status"), func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"swapon"}, Action: specs.ActErrno}},
				Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog, specs.LinuxSeccompFlagSpecAllow, "SECCOMP_FILTER_FLAG_TSYNC"}}
		}, "Seccomp:\t2"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := newWorld(t, c.change, c.command...).run(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRootPropagation(t *testing.T) {
	for mode, want := range map[string]string{"rshared": "shared", "rprivate": "-", "runbindable": "unbindable"} {
		w := newWorld(t, func(s *specs.Spec) { s.Linux.RootfsPropagation = mode }, sh("grep ' / / \\| /[^ ]*/rootfs / ' /proc/self/mountinfo | head -1 | cut -d' ' -f7 | cut -d: -f1")...)
		if got := w.run(); got != want {
			t.Errorf("%s: the root is %q, want %q", mode, got, want)
		}
	}
}

func TestMountsWithMappedIDs(t *testing.T) {
	source := t.TempDir()
	below := filepath.Join(source, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(t.TempDir(), below, "", unix.MS_BIND, ""); err != nil { // a tmpfs maps ids since Linux 6.3 only
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(below, 0); err != nil {
			t.Error(err)
		}
	})
	for option, want := range map[string]string{"idmap": "1000 0", "ridmap": "1000 1000"} {
		w := newWorld(t, func(s *specs.Spec) {
			ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 10}}
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data", Source: source, Type: "bind", Options: []string{"rbind", option}, UIDMappings: ids, GIDMappings: ids})
			s.Root.Readonly = false
		}, sh("echo $(stat -c %u /data /data/below)")...)
		if got := w.run(); got != want {
			t.Errorf("%s: owners are %s, want %s", option, got, want)
		}
	}
}

func TestTmpcopyupKeepsWhatItHides(t *testing.T) {
	w := newWorld(t, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/bin", Source: "tmpfs", Type: "tmpfs", Options: []string{"tmpcopyup"}})
	}, sh("echo more > /bin/more && readlink /bin/sh && grep -c ' /bin ' /proc/self/mountinfo")...)
	if got := w.run(); got != "busybox\n1" {
		t.Errorf("got %q", got)
	}
	if _, err := os.Stat(w.bundle + "/rootfs/bin/more"); err == nil {
		t.Error("what is written to the tmpfs is in the bundle")
	}
}

func TestNoPivotHidesTheMachine(t *testing.T) {
	w := newWorld(t, nil, sh("ls /; ls /.. | head -1")...)
	c, err := w.Create("c", oci.Create{Bundle: w.bundle, NoPivot: true, Std: [3]*os.File{null(t), w.output(), w.output()}})
	if err != nil {
		t.Fatal(err)
	}
	w.cleanUp(c)
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	w.await(c, specs.StateStopped)
	if got := strings.Fields(w.said()); len(got) < 2 || got[0] != "bin" || got[len(got)-1] != "bin" || strings.Contains(w.said(), "root") {
		t.Errorf("the root has %q", got)
	}
}

func TestAContainerWithoutAMountNamespaceLeavesNoMounts(t *testing.T) {
	w := newWorld(t, func(s *specs.Spec) {
		var kept []specs.LinuxNamespace
		for _, n := range s.Linux.Namespaces {
			if n.Type != specs.MountNamespace {
				kept = append(kept, n)
			}
		}
		s.Linux.Namespaces = kept
	}, sh("readlink /proc/self/ns/mnt; ls /; echo end; exec sleep 100")...)
	c := w.mustCreate("c")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	if got := mountsOf(t, w.bundle); len(got) > 0 {
		t.Errorf("the machine has mounts of the container:\n%s", strings.Join(got, ""))
	}
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	p := c.Process()
	p.Args = sh("readlink /proc/self/ns/mnt; ls /")
	if said, _ := w.exec(c, &p); !strings.HasPrefix(said, own+"\nbin\n") {
		t.Errorf("a further command says %q, want mount namespace %s and the container's root", said, own)
	}
	w.until("the container has said all", func() bool { return strings.HasSuffix(w.said(), "end") })
	if said := w.said(); !strings.HasPrefix(said, own+"\nbin\n") {
		t.Errorf("the container says %q, want mount namespace %s and its own root", said, own)
	}
}

// mountsOf are those of this process that have to do with a directory.
func mountsOf(t *testing.T, dir string) []string {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, dir) {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestTheTerminalGoesToTheConsoleSocket(t *testing.T) {
	w := newWorld(t, func(s *specs.Spec) {
		s.Process.Terminal, s.Process.ConsoleSize = true, &specs.Box{Height: 21, Width: 43}
	}, sh("tty; stty size; readlink /proc/self/fd/0")...)
	path := filepath.Join(t.TempDir(), "console")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := w.Create("c", oci.Create{Bundle: w.bundle, ConsoleSocket: path, Std: [3]*os.File{null(t), null(t), null(t)}})
	if err != nil {
		t.Fatal(err)
	}
	w.cleanUp(c)
	master := receive(t, l)
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(master) // ends with EIO, when the last process has gone
	if got := strings.Fields(string(said)); fmt.Sprint(got) != "[/dev/console 21 43 /dev/pts/0]" && fmt.Sprint(got) != "[/dev/pts/0 21 43 /dev/pts/0]" {
		t.Errorf("the terminal says %q", said)
	}
}

// receive takes a file from who connects.
func receive(t *testing.T, l *net.UnixListener) *os.File {
	t.Helper()
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(make([]byte, 100), control)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "terminal")
	t.Cleanup(func() { f.Close() })
	return f
}

func TestHooksOfAllKinds(t *testing.T) {
	dir := t.TempDir()
	hook := func(name string) []specs.Hook {
		return []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "cat > " + dir + "/" + name}}}
	}
	w := newWorld(t, func(s *specs.Spec) {
		s.Annotations = map[string]string{"k": "v"}
		s.Root.Readonly = false
		s.Hooks = &specs.Hooks{
			Prestart: hook("prestart"), CreateRuntime: hook("createRuntime"), CreateContainer: hook("createContainer"), Poststart: hook("poststart"), Poststop: hook("poststop"),
			StartContainer: []specs.Hook{{Path: "/bin/sh", Args: sh("cat > /startContainer")}},
		}
	}, "true")
	w.run()
	if err := w.Delete("c", false); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]specs.ContainerState{
		"prestart": specs.StateCreating, "createRuntime": specs.StateCreating, "createContainer": specs.StateCreating,
		w.bundle + "/rootfs/startContainer": specs.StateCreated, "poststart": specs.StateRunning, "poststop": specs.StateStopped,
	} {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		var s specs.State
		data, err := os.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(data, &s)
		}
		if err != nil || s.Status != want || s.ID != "c" || s.Bundle != w.bundle || s.Annotations["k"] != "v" || (s.Pid == 0) != (want == specs.StateStopped) {
			t.Errorf("%s was told %s, %v", filepath.Base(name), data, err)
		}
	}
}

func TestAHookHasItsTimeout(t *testing.T) {
	one := 1
	w := newWorld(t, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{Prestart: []specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "100"}, Timeout: &one}}}
	}, "true")
	if _, err := w.create("c"); err == nil || !strings.Contains(err.Error(), "prestart hook #0: /bin/sleep: hook ran past specified timeout of 1.0s") {
		t.Errorf("got %v", err)
	}
}

func TestPoststartThatFailsEndsTheContainer(t *testing.T) {
	w := newWorld(t, func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststart: []specs.Hook{{Path: "/bin/false"}}} }, "sleep", "100")
	c := w.mustCreate("c")
	if err := c.Run(); err == nil || !strings.Contains(err.Error(), "error running poststart hook #0: /bin/false") {
		t.Errorf("got %v", err)
	}
	w.await(c, specs.StateStopped)
}

func TestPoststopThatFailsIsAWarningAndTheNextOnesRun(t *testing.T) {
	done := filepath.Join(t.TempDir(), "done")
	w := newWorld(t, func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/false"}, {Path: "/bin/touch", Args: []string{"touch", done}}}}
	}, "true")
	var log strings.Builder
	w.withLog(&log)
	w.run()
	if err := w.Delete("c", false); err != nil {
		t.Errorf("delete says %v", err)
	}
	if _, err := os.Stat(done); err != nil {
		t.Errorf("the second hook: %v", err)
	}
	if !strings.Contains(log.String(), "level=WARN msg=\"error running poststop hook #0: /bin/false: exit status 1") {
		t.Errorf("the log has %q", log.String())
	}
}

func TestCapabilitiesThatCannotBeGrantedAreWarnedOf(t *testing.T) {
	w := newWorld(t, func(s *specs.Spec) { s.Process.Capabilities.Bounding = []string{"CAP_FLY", "CAP_KILL"} }, "grep", "CapBnd", "/proc/self/status")
	var log strings.Builder
	w.withLog(&log)
	if got := w.run(); got != "CapBnd:\t0000000000000020" {
		t.Errorf("got %q", got)
	}
	if !strings.Contains(log.String(), `\"CAP_FLY\" cannot be granted: Linux has none of that name`) {
		t.Errorf("the log has %q", log.String())
	}
}

// withLog has the runtime log to a writer.
func (w *world) withLog(out io.Writer) {
	w.t.Helper()
	r, err := oci.New(oci.Config{Root: filepath.Join(filepath.Dir(w.bundle), "state"), Log: slog.New(slog.NewTextHandler(out, nil))})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Runtime = r
}

func TestExecCPUAffinity(t *testing.T) {
	w := newWorld(t, nil, "sleep", "100")
	c := w.mustCreate("c")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	for _, a := range []struct {
		affinity specs.CPUAffinity
		want     string
	}{
		{specs.CPUAffinity{Final: "0"}, "Cpus_allowed_list:\t0"},
		{specs.CPUAffinity{Initial: "0", Final: "1"}, "Cpus_allowed_list:\t1"},
	} {
		p := c.Process()
		p.Args, p.ExecCPUAffinity = []string{"grep", "Cpus_allowed_list", "/proc/self/status"}, &a.affinity
		if got, err := w.exec(c, &p); err != nil || got != a.want {
			t.Errorf("%+v: got %q, %v", a.affinity, got, err)
		}
	}
	for field, a := range map[string]specs.CPUAffinity{"initial": {Initial: "zero"}, "final": {Final: "3-1"}} {
		p := c.Process()
		p.Args, p.ExecCPUAffinity = []string{"true"}, &a
		if _, err := w.exec(c, &p); err == nil || !strings.Contains(err.Error(), "process.execCPUAffinity."+field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

func TestNetworkBuffersHaveTheirLimitOnVersion1(t *testing.T) {
	limit := int64(1 << 20)
	w := newWorld(t, func(s *specs.Spec) { s.Linux.Resources.Memory = &specs.LinuxMemory{KernelTCP: &limit} },
		sh("cat /sys/fs/cgroup/memory/memory.kmem.tcp.limit_in_bytes")...)
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err != nil {
		if _, err := w.create("c"); err == nil || !strings.Contains(err.Error(), "memory.kernelTCP") {
			t.Errorf("version 2: got %v", err)
		}
		return
	}
	if got := w.run(); got != "1048576" {
		t.Errorf("the limit is %s", got)
	}
}
