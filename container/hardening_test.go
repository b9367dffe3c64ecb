package container

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/confine"
	"dhow/container/processes"
)

// exec runs a script in a running container and returns what it wrote, to both outputs.
func (r *rig) exec(id, script string) string {
	r.t.Helper()
	var out bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := r.engine.Exec(ctx, id, ExecOptions{Command: []string{"sh", "-c", "exec 2>&1; " + script}, Streams: Streams{Stdout: &out}})
	check(r.t, err)
	return out.String()
}

// image is the directory that containers see as their root.
func (r *rig) image() string { return r.config.Images.(*busyboxImages).lower }

// refused starts a container that must not start, and returns why it did not.
func (r *rig) refused(config *cri.ContainerConfig) string {
	r.t.Helper()
	started := make(chan error, 1)
	id := r.create(config)
	go func() { started <- r.engine.StartContainer(context.Background(), id) }()
	select {
	case err := <-started:
		if err == nil {
			r.t.Fatal("the container was started")
		}
		return err.Error()
	case <-time.After(time.Minute):
		r.t.Fatal("the start does not return")
		return ""
	}
}

func TestWhatTellsOfTheHostIsMasked(t *testing.T) {
	r := newRig(t)
	out, _ := r.result(sh(`
for f in ` + strings.Join(defaultMasked, " ") + `; do
  if [ -d $f ]; then n=$(ls -A $f | wc -l); elif [ -e $f ]; then n=$(head -c 10 $f | wc -c); else continue; fi
  [ $n = 0 ] && echo masked $f || echo shows $f
done`))
	if strings.Contains(out, "shows") {
		t.Errorf("not masked:\n%s", out)
	}
	for _, want := range []string{"masked /proc/keys", "masked /proc/timer_list", "masked /sys/firmware"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
}

func TestWhatChangesTheHostIsReadOnly(t *testing.T) {
	r := newRig(t)
	paths := []string{
		"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/irq/default_smp_affinity", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper",
		"/sys/power/state",
	}
	out, _ := r.result(sh(`
for f in ` + strings.Join(paths, " ") + `; do [ -e $f ] || continue; echo try $f; (: >> $f) 2>&1; done`))
	if tried := strings.Count(out, "try"); tried < 4 || tried != strings.Count(out, "Read-only file system") {
		t.Errorf("some can be written:\n%s", out)
	}
}

// confinement is a script that prints what a process is confined by.
const confinement = `grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; cut -d: -f3 /proc/self/cgroup; ls -A /proc/self/fd | tr '\n' ' '`

func TestAContainerAndWhatIsExecutedInItAreConfinedAlike(t *testing.T) {
	for _, nnp := range []bool{false, true} {
		t.Run(fmt.Sprintf("no_new_privs=%v", nnp), func(t *testing.T) {
			r := newRig(t)
			config := sh(confinement + "; echo; echo end; sleep 1000")
			config.Linux.SecurityContext.NoNewPrivs = nnp
			config.Linux.SecurityContext.Seccomp = nil // the default is a filter
			id := r.launch(config)
			r.eventually("the container has told", func() bool { return strings.Contains(r.output(), "end") })
			inside := map[string]string{"start": r.output(), "exec": r.exec(id, confinement)}
			const mask = "00000000a80425fb" // docker's default
			for how, out := range inside {
				for _, want := range []string{
					"CapInh:\t0000000000000000", "CapPrm:\t" + mask, "CapEff:\t" + mask, "CapBnd:\t" + mask, "CapAmb:\t0000000000000000",
					"NoNewPrivs:\t" + map[bool]string{false: "0", true: "1"}[nnp], "Seccomp:\t2", "\n0 1 2 3 ",
				} {
					if !strings.Contains(out, want) {
						t.Errorf("%s: %q is missing in:\n%s", how, want, out)
					}
				}
				if strings.Contains(out, "/..") || strings.Contains(out, "shim") {
					t.Errorf("%s: outside of the container's cgroup:\n%s", how, out)
				}
			}
		})
	}
}

func TestAnOrdinaryUserHasNoCapabilities(t *testing.T) {
	r := newRig(t)
	config := sh("grep Cap /proc/self/status")
	config.Linux.SecurityContext.RunAsUser = &cri.Int64Value{Value: 1000}
	out, _ := r.result(config)
	for _, set := range []string{"CapPrm", "CapEff", "CapInh", "CapAmb"} {
		if !strings.Contains(out, set+":\t0000000000000000") {
			t.Errorf("%s is not empty:\n%s", set, out)
		}
	}
}

func TestUsersThatMakeNoSenseAreRefused(t *testing.T) {
	r := newRig(t)
	for _, user := range []string{"4294967296", "-1", "nobody-here", "../../../etc/passwd", "0:4294967296", "worker:nogroup", "4294967295"} {
		config := sh("id")
		config.Linux.SecurityContext.RunAsUsername = user
		if why := r.refused(config); !strings.Contains(why, fmt.Sprintf("user %q", user)) {
			t.Errorf("user %q: %s", user, why)
		}
	}
}

func TestAPasswdThatIsNoFileIsRefused(t *testing.T) {
	r := newRig(t)
	passwd := filepath.Join(r.image(), "etc/passwd")
	check(t, os.Remove(passwd))
	check(t, unix.Mkfifo(passwd, 0o644))
	config := sh("id")
	config.Linux.SecurityContext.RunAsUsername = "worker"
	if why := r.refused(config); !strings.Contains(why, "/etc/passwd") {
		t.Errorf("it is refused because of %s", why)
	}
}

func TestAWorkingDirectoryIsInsideTheRoot(t *testing.T) {
	r := newRig(t)
	outside := t.TempDir()
	check(t, os.WriteFile(filepath.Join(outside, "secret"), nil, 0o644))
	check(t, os.Symlink("/../../../.."+outside, filepath.Join(r.image(), "out")))
	config := sh("pwd; ls -A")
	config.WorkingDir = "/out/../out"
	if why := r.refused(config); !strings.Contains(why, "working directory") {
		t.Errorf("a link to what is not in the image: %s", why)
	}
	config.WorkingDir = "/../../../../" + outside
	if out, _ := r.result(config); strings.Contains(out, "secret") || !strings.HasSuffix(strings.TrimSpace(out), outside) {
		t.Errorf("it is outside: %s", out)
	}
	for fd := range 12 { // CVE-2024-21626
		config.WorkingDir = fmt.Sprintf("/proc/self/fd/%d", fd)
		if why := r.refused(config); !strings.Contains(why, "working directory") {
			t.Errorf("%s: %s", config.WorkingDir, why)
		}
	}
}

func TestVolumesAreMountedInsideTheRootThroughAnyLinks(t *testing.T) {
	r := newRig(t)
	outside, volume := t.TempDir(), t.TempDir()
	check(t, os.WriteFile(filepath.Join(volume, "content"), nil, 0o644))
	image := r.image()
	check(t, os.Symlink("/../../../../.."+outside, filepath.Join(image, "absolute")))
	check(t, os.Symlink("../../../../../../../.."+outside, filepath.Join(image, "etc/relative")))
	check(t, os.Symlink("/no/such", filepath.Join(image, "dangling")))
	check(t, os.Symlink("round", filepath.Join(image, "round")))
	config := sh("ls /absolute/v /etc/relative/v /dangling/v /dangling")
	for _, at := range []string{"/absolute/v", "/etc/relative/v", "/dangling/v"} {
		config.Mounts = append(config.Mounts, &cri.Mount{HostPath: volume, ContainerPath: at})
	}
	out, _ := r.result(config)
	if strings.Count(out, "content") != 3 {
		t.Errorf("the volume is not everywhere:\n%s", out)
	}
	left, err := os.ReadDir(outside)
	check(t, err)
	if len(left) != 0 {
		t.Errorf("made outside: %v", left)
	}
	config.Mounts = []*cri.Mount{{HostPath: volume, ContainerPath: "/round/v"}}
	if why := r.refused(config); !strings.Contains(why, "/round/v") {
		t.Errorf("a link to itself: %s", why)
	}
}

func TestAnImageCannotMoveTheSystemsMounts(t *testing.T) {
	for _, name := range []string{"proc", "sys", "dev"} {
		r := newRig(t)
		at := filepath.Join(r.image(), name)
		check(t, os.Remove(at))
		check(t, os.Symlink("/tmp", at))
		if why := r.refused(sh("true")); !strings.Contains(why, "/"+name+":") {
			t.Errorf("/%s as a link: %s", name, why)
		}
	}
}

func TestSharedMemoryIsTheContainersOwn(t *testing.T) {
	r := newRig(t)
	name := fmt.Sprintf("dhow-test-%d", os.Getpid())
	mark := filepath.Join("/dev/shm", name)
	check(t, os.WriteFile(mark, nil, 0o600))
	t.Cleanup(func() { os.Remove(mark) })
	out, _ := r.result(sh("ls /dev/shm; touch /dev/shm/" + name + "-inside; ls -d /dev/shm/*"))
	if out != mark+"-inside" {
		t.Errorf("it sees %q", out)
	}
	if _, err := os.Stat(mark + "-inside"); err == nil {
		t.Error("the host sees the container's")
	}
}

func TestLimitsCanBeReadInside(t *testing.T) {
	r := newRig(t)
	config := sh("cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; (: >> /sys/fs/cgroup/memory/cgroup.procs); (: >> /sys/fs/cgroup/cgroup.procs)")
	config.Linux.Resources = &cri.LinuxContainerResources{MemoryLimitInBytes: 64 << 20}
	out, _ := r.result(config)
	if !strings.Contains(out, fmt.Sprint(64<<20)) || !strings.Contains(out, "Read-only file system") {
		t.Errorf("it reads %s", out)
	}
}

// CVE-2019-5736: a container that executes /proc/self/exe gets hold of the program that started it.
func TestTheRuntimesOwnBinaryCannotBeOverwritten(t *testing.T) {
	r := newRig(t)
	config := command("/proc/self/exe")
	config.Envs = []*cri.KeyValue{{Key: stallEnv, Value: []byte("1")}}
	id := r.launch(config)
	var out string
	r.eventually("the runtime's binary runs inside", func() bool {
		out = r.exec(id, "(: > /proc/1/exe)")
		return !strings.Contains(out, "Permission denied")
	})
	if !strings.Contains(out, "Read-only file system") {
		t.Errorf("opening it for writing says: %s", out)
	}
}

// disk is a block device of this machine that can be opened.
func disk(t *testing.T) (name string, major, minor uint32) {
	t.Helper()
	names, err := filepath.Glob("/dev/*")
	check(t, err)
	for _, name := range names {
		var st unix.Stat_t
		if unix.Stat(name, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
			continue
		}
		if f, err := os.Open(name); err == nil {
			f.Close()
			return name, unix.Major(st.Rdev), unix.Minor(st.Rdev)
		}
	}
	t.Fatal("this machine has no block device that root may open")
	return "", 0, 0
}

func TestDisksAreForPrivilegedContainersOnly(t *testing.T) {
	r := newRig(t)
	name, major, minor := disk(t)
	script := fmt.Sprintf("mknod /tmp/d b %d %d; (: < /tmp/d) && echo opened; ls -d %s", major, minor, name)
	out, _ := r.result(sh(script))
	if !strings.Contains(out, "not permitted") || !strings.Contains(out, "No such file") {
		t.Errorf("an ordinary one: %s", out)
	}
	id := r.launch(command("sleep", "1000"))
	if out := r.exec(id, script); !strings.Contains(out, "not permitted") {
		t.Errorf("executed in an ordinary one: %s", out)
	}
	config := sh(script + "; grep -E 'CapEff|CapBnd|Seccomp:' /proc/self/status; : >> /proc/sys/kernel/core_pattern && echo writable")
	config.Linux.SecurityContext.Privileged = true
	out, _ = r.result(config)
	all, err := confine.OwnCapabilities()
	check(t, err)
	for _, want := range []string{"opened\n" + name, fmt.Sprintf("CapEff:\t%016x", all), "Seccomp:\t0", "writable"} {
		if !strings.Contains(out, want) {
			t.Errorf("a privileged one: %q is missing in:\n%s", want, out)
		}
	}
}

func TestLabelsThatTheKernelLacksAreRefusedAndUnconfinedIsNot(t *testing.T) {
	r := newRig(t)
	r.runPod()
	create := func(change func(*cri.LinuxContainerSecurityContext)) error {
		config := command("true")
		change(config.Linux.SecurityContext)
		_, err := r.engine.CreateContainer(context.Background(), r.id, config, r.pod)
		return err
	}
	if err := create(func(s *cri.LinuxContainerSecurityContext) {
		s.Apparmor = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: "no-such-profile"}
	}); err == nil || !strings.Contains(err.Error(), `AppArmor profile "no-such-profile"`) {
		t.Errorf("an AppArmor profile that is not there: %v", err)
	}
	if err := create(func(s *cri.LinuxContainerSecurityContext) {
		s.Apparmor = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}
	}); err != nil {
		t.Errorf("unconfined: %v", err)
	}
	_, err := os.Stat("/sys/fs/selinux/enforce")
	if got := create(func(s *cri.LinuxContainerSecurityContext) { s.SelinuxOptions = &cri.SELinuxOption{Level: "s0:c1"} }); (got == nil) != (err == nil) {
		t.Errorf("an SELinux context: %v", got)
	}
}

func TestTheSessionKeyringIsTheContainersOwn(t *testing.T) {
	r := newRig(t)
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	check(t, err)
	host, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	check(t, err)
	config := command("/proc/self/exe")
	config.Envs = []*cri.KeyValue{{Key: keysEnv, Value: []byte("1")}}
	config.Linux.SecurityContext.Seccomp = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}
	out, _ := r.result(config)
	if !strings.HasPrefix(out, "keyring ") || strings.Contains(out, fmt.Sprint(host)) {
		t.Errorf("the machine's keyring is %d, the container has %s", host, out)
	}
}

// CVE-2024-21626, the other half: nothing of the runtime's is open where a path could lead out through it.
func TestNoDescriptorLeadsOut(t *testing.T) {
	r := newRig(t)
	id := r.launch(sh("ls -l /proc/self/fd; ls /proc/self/fd/*/../../../../../../../../" + r.config.StateDir + " 2>&1; echo end; sleep 1000"))
	r.eventually("it has told", func() bool { return strings.Contains(r.output(), "end") })
	for how, out := range map[string]string{"start": r.output(), "exec": r.exec(id, "ls -l /proc/self/fd")} {
		for _, bad := range []string{"memfd", "cgroup", r.id, "/state", "overlay"} {
			if strings.Contains(out, bad) && !strings.Contains(out, "No such file") {
				t.Errorf("%s: %q is open:\n%s", how, bad, out)
			}
		}
	}
}

// CVE-2025-31133, CVE-2025-52565, CVE-2025-52881: an image, or a volume that another container changes meanwhile, puts
// links where the runtime mounts or writes.
func TestLinksInPlaceOfWhatTheRuntimeMountsAreOfNoUse(t *testing.T) {
	r := newRig(t)
	volume := t.TempDir()
	check(t, os.Symlink("/proc/sys/kernel", filepath.Join(volume, "null")))
	check(t, os.Symlink("/proc/sysrq-trigger", filepath.Join(volume, "console")))
	config := sh("(: >> /proc/sys/kernel/core_pattern); [ -c /dev/null ] && echo null")
	config.Tty = true
	config.Mounts = []*cri.Mount{{HostPath: volume, ContainerPath: "/dev/links"}}
	config.Linux.SecurityContext.MaskedPaths = append([]string{"/dev/links/console"}, defaultMasked...)
	config.Linux.SecurityContext.ReadonlyPaths = append([]string{"/dev/links/null"}, defaultReadOnly...)
	out, status := r.result(config)
	if status.Reason == reasonStartError {
		return // refused altogether
	}
	if strings.Count(out, "Read-only file system")+strings.Count(out, "ermission denied") == 0 || !strings.Contains(out, "null") {
		t.Errorf("it says:\n%s", out)
	}
}

// CVE-2019-16884, CVE-2019-19921: a volume in the place of /proc, or below it, would take what confines the command.
func TestNothingIsMountedInProc(t *testing.T) {
	r := newRig(t)
	volume := t.TempDir()
	check(t, os.Mkdir(filepath.Join(volume, "attr"), 0o755))
	check(t, os.Symlink("/proc", filepath.Join(volume, "link")))
	check(t, os.WriteFile(filepath.Join(volume, "cpuinfo"), []byte("one large one"), 0o644))
	at := func(paths ...string) *cri.ContainerConfig {
		config := sh("cat /proc/cpuinfo")
		for _, path := range paths {
			config.Mounts = append(config.Mounts, &cri.Mount{HostPath: volume, ContainerPath: path})
		}
		return config
	}
	for name, config := range map[string]*cri.ContainerConfig{
		"/proc": at("/proc"), "below it": at("/proc/self/attr"), "by a volume's link": at("/v", "/v/link/1/attr"), "by a link to it": at("/v", "/v/link"),
	} {
		if said := r.refused(config); !strings.Contains(said, "cannot be mounted because it is inside /proc") {
			t.Errorf("%s: %s", name, said)
		}
	}
	allowed := at()
	allowed.Mounts = []*cri.Mount{{HostPath: filepath.Join(volume, "cpuinfo"), ContainerPath: "/proc/cpuinfo"}}
	if out, _ := r.result(allowed); out != "one large one" {
		t.Errorf("a file that protects nothing: %q", out)
	}
	allowed.Mounts = []*cri.Mount{{HostPath: "/proc", ContainerPath: "/proc"}}
	allowed.Command = []string{"sh", "-c", "cat /proc/1/comm"}
	own, err := os.ReadFile("/proc/1/comm")
	check(t, err)
	if out, _ := r.result(allowed); out != strings.TrimSpace(string(own)) {
		t.Errorf("the machine's own, asked for: %q", out)
	}
}

func TestEverythingInAGroupDiesWithTheContainer(t *testing.T) {
	r := newRig(t)
	config := sh("for i in 1 2 3 4 5 6 7 8; do (while true; do sleep 1000 & sleep 0.01; done) & done; echo up; sleep 1000")
	id := r.launch(config)
	r.eventually("it forks", func() bool { return strings.Contains(r.output(), "up") })
	all, err := r.engine.Top(context.Background(), id)
	check(t, err)
	check(t, r.engine.RemoveContainer(context.Background(), id))
	for _, p := range all {
		list, err := processes.Read([]int{p.PID})
		check(t, err)
		if len(list) == 0 {
			continue
		}
		if again := list[0]; again.State != "Z" && again.Started.Equal(p.Started) {
			t.Errorf("left: %+v", again)
		}
	}
}

func TestTheShimTakesNoHugePagesAndCannotBeInspected(t *testing.T) {
	r := newRig(t)
	r.runPod()
	s, err := r.engine.sandbox(r.id)
	check(t, err)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.ShimPID))
	check(t, err)
	if !strings.Contains(string(status), "THP_enabled:\t0") {
		t.Errorf("huge pages are enabled:\n%s", status)
	}
}

func TestCDIDevicesAreGiven(t *testing.T) {
	r := newRig(t)
	dir := "/var/run/cdi"
	check(t, os.MkdirAll(dir, 0o755))
	file := filepath.Join(dir, fmt.Sprintf("dhow-test-%d.json", os.Getpid()))
	t.Cleanup(func() { os.Remove(file); os.Remove(dir) })
	kind := fmt.Sprintf("dhow.test/d%d", os.Getpid())
	check(t, os.WriteFile(file, []byte(`{"cdiVersion": "0.6.0", "kind": "`+kind+`", "devices": [{"name": "one", "containerEdits": {
		"env": ["WINCH=one"], "deviceNodes": [{"path": "/dev/winch", "hostPath": "/dev/zero"}],
		"mounts": [{"hostPath": "`+file+`", "containerPath": "/winch", "options": ["ro", "rbind"]}],
		"hooks": [{"hookName": "startContainer", "path": "/bin/sh", "args": ["sh", "-c", "echo hooked > /tmp/hook"]}], "additionalGids": [4242]}}]}`), 0o644))
	config := sh("echo $WINCH; head -c 3 /dev/winch | wc -c; [ -s /winch ] && echo mounted; cat /tmp/hook; id -G")
	config.CDIDevices = []*cri.CDIDevice{{Name: kind + "=one"}}
	if out, _ := r.result(config); out != "one\n3\nmounted\nhooked\n0 4242" {
		t.Errorf("it says %s", out)
	}
	config.CDIDevices[0].Name = kind + "=two"
	if _, err := r.engine.CreateContainer(context.Background(), r.id, config, r.pod); err == nil || !strings.Contains(err.Error(), kind+"=two") {
		t.Errorf("one that is not described: %v", err)
	}
}
