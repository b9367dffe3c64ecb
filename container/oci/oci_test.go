package oci_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dhow/container/oci"
	_ "dhow/container/shimentry" // this program plays init, too
)

func TestMain(m *testing.M) {
	runtime.LockOSThread() // the first thread never ends, so none that changes its namespaces may be it
	code := m.Run()
	for _, pattern := range []string{"/sys/fs/cgroup/%s", "/sys/fs/cgroup/*/%s"} {
		dirs, _ := filepath.Glob(fmt.Sprintf(pattern, fmt.Sprintf("dhow-oci-test-%d", os.Getpid())))
		for _, dir := range dirs {
			_ = unix.Rmdir(dir)
		}
	}
	os.Exit(code)
}

// world is a runtime with a bundle whose root has busybox.
type world struct {
	*oci.Runtime
	t      testing.TB
	bundle string
	out    string
}

func newWorld(t testing.TB, change func(*specs.Spec), command ...string) *world {
	t.Helper()
	dir := t.TempDir()
	r, err := oci.New(oci.Config{Root: filepath.Join(dir, "state")})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{r, t, filepath.Join(dir, "bundle"), filepath.Join(dir, "out")}
	bin := filepath.Join(w.bundle, "rootfs/bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile("/usr/bin/busybox")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bin+"/busybox", busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sh", "sleep", "cat", "echo", "id", "true", "hostname", "grep", "readlink", "mount", "uname", "ionice", "cut", "head", "ls", "stat", "tty", "stty"} {
		if err := os.Symlink("busybox", filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	spec := oci.Example(false)
	spec.Process.Terminal, spec.Process.Args = false, command
	spec.Linux.CgroupsPath = fmt.Sprintf("/dhow-oci-test-%d/%s", os.Getpid(), filepath.Base(dir))
	if change != nil {
		change(spec)
	}
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.bundle+"/config.json", data, 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// create makes a container, which is removed when the test ends.
func (w *world) create(id string) (*oci.Container, error) {
	w.t.Helper()
	out := w.output()
	c, err := w.Create(id, oci.Create{Bundle: w.bundle, Std: [3]*os.File{null(w.t), out, out}, PidFile: w.out + ".pid"})
	if err == nil {
		w.cleanUp(c)
	}
	return c, err
}

// cleanUp removes a container when the test ends.
func (w *world) cleanUp(c *oci.Container) {
	w.t.Cleanup(func() {
		if err := w.Delete(c.ID, true); err != nil {
			w.t.Error(err)
		}
		_, _ = unix.Wait4(c.Pid(), nil, unix.WNOHANG, nil)
	})
}

// output is where the container writes to.
func (w *world) output() *os.File {
	w.t.Helper()
	f, err := os.OpenFile(w.out, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { f.Close() })
	return f
}

// said is what the container has written.
func (w *world) said() string {
	w.t.Helper()
	data, err := os.ReadFile(w.out)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// exec runs a further command to its end, and returns what it has written.
func (w *world) exec(c *oci.Container, p *specs.Process) (string, error) {
	w.t.Helper()
	r, out, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	pid, err := w.Exec(c, p, oci.Exec{Std: [3]*os.File{null(w.t), out, out}})
	out.Close()
	if err != nil {
		return "", err
	}
	said, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatal(err)
	}
	var status unix.WaitStatus
	_, err = unix.Wait4(pid, &status, 0, nil)
	if err == nil && status.ExitStatus() != 0 {
		err = fmt.Errorf("exit status %d", status.ExitStatus())
	}
	return strings.TrimSpace(string(said)), err
}

func (w *world) mustCreate(id string) *oci.Container {
	w.t.Helper()
	c, err := w.create(id)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// run runs the container to its end, and returns what it has written.
func (w *world) run() string {
	w.t.Helper()
	c := w.mustCreate("c")
	if err := c.Run(); err != nil {
		w.t.Fatal(err)
	}
	w.await(c, specs.StateStopped)
	return w.said()
}

func (w *world) await(c *oci.Container, want specs.ContainerState) {
	w.t.Helper()
	w.until(fmt.Sprintf("status is %s", want), func() bool { return c.Status() == want })
}

func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("not so after a minute: %s", what)
		}
	}
}

// Who starts a runtime may ignore signals (nohup, a shell's &); a command that begins like that could not trap them.
func TestACommandIgnoresNoSignalThatItsStarterIgnored(t *testing.T) {
	started := []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR2}
	signal.Ignore(started...)
	defer signal.Reset(started...)
	w := newWorld(t, nil, "grep", "-E", "Sig(Ign|Blk)", "/proc/self/status")
	if want := "SigBlk: 0000000000000000 SigIgn: 0000000000000000"; strings.Join(strings.Fields(w.run()), " ") != want {
		t.Errorf("the command has %q, not %q", w.said(), want)
	}
}

func TestAContainerGoesThroughItsLife(t *testing.T) {
	w := newWorld(t, nil, "sleep", "100")
	c := w.mustCreate("life")
	if s := c.State(); s.Status != specs.StateCreated || s.Pid == 0 || s.Bundle != w.bundle {
		t.Fatalf("after create: %+v", s)
	}
	if pid, _ := os.ReadFile(w.out + ".pid"); string(pid) != fmt.Sprint(c.Pid()) {
		t.Errorf("the pid file has %q, the process is %d", pid, c.Pid())
	}
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	w.await(c, specs.StateRunning)
	if err := c.Run(); err == nil || err.Error() != "cannot start an already running container" {
		t.Errorf("a second start says %v", err)
	}
	if err := w.Delete("life", false); err == nil || !strings.Contains(err.Error(), "that is not stopped: running") {
		t.Errorf("delete of what runs says %v", err)
	}
	if err := c.Pause(); err != nil {
		t.Fatal(err)
	}
	w.await(c, oci.Paused)
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(unix.SIGKILL, false); err != nil {
		t.Fatal(err)
	}
	w.await(c, specs.StateStopped)
	if err := c.Kill(unix.SIGTERM, false); !errors.Is(err, oci.ErrNotRunning) {
		t.Errorf("kill of what has stopped says %v", err)
	}
	if err := w.Delete("life", false); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Container("life"); !errors.Is(err, oci.ErrNotExist) {
		t.Errorf("after delete: %v", err)
	}
}

func TestANameIsTakenOnce(t *testing.T) {
	w := newWorld(t, nil, "sleep", "100")
	w.mustCreate("one")
	if _, err := w.create("one"); !errors.Is(err, oci.ErrExist) {
		t.Errorf("got %v", err)
	}
}

func TestCreateSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*specs.Spec)
		want   string
	}{
		"missing command":  {func(s *specs.Spec) { s.Process.Args = []string{"nosuch"} }, `exec: "nosuch": executable file not found in $PATH`},
		"no version":       {func(s *specs.Spec) { s.Version = "" }, "ociVersion is missing"},
		"relative cwd":     {func(s *specs.Spec) { s.Process.Cwd = "here" }, "cwd must be an absolute path"},
		"unknown rlimit":   {func(s *specs.Spec) { s.Process.Rlimits[0].Type = "RLIMIT_FUN" }, `invalid rlimit type "RLIMIT_FUN"`},
		"machine's sysctl": {func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"vm.swappiness": "1"} }, "not in a separate kernel namespace"},
		"over /proc":       {func(s *specs.Spec) { s.Mounts = append(s.Mounts, specs.Mount{Destination: "/proc/sys", Type: "tmpfs"}) }, "inside /proc"},
		"by a link": {func(s *specs.Spec) {
			volume := linkTo(t, "/proc")
			s.Mounts = append(s.Mounts, bind(volume, "/bin"), specs.Mount{Destination: "/bin/link/tty", Type: "tmpfs"})
		}, "inside /proc"},
		"volume by a link": {func(s *specs.Spec) {
			volume := linkTo(t, "/proc/self")
			s.Mounts = append(s.Mounts, bind(volume, "/bin"), bind(volume, "/bin/link/attr"))
		}, "inside /proc"},
		"seccomp listener": {func(s *specs.Spec) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: "SCMP_ACT_ALLOW", ListenerPath: "/s"}
		}, "listenerPath is not supported"},
		"intelRdt": {func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{} }, "linux.intelRdt is not supported"},
		"failing hook": {func(s *specs.Spec) { s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}} },
			"error running createRuntime hook #0: /bin/false: exit status 1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.change, "true")
			if _, err := w.create("c"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, err := w.Container("c"); !errors.Is(err, oci.ErrNotExist) {
				t.Errorf("something is left: %v", err)
			}
		})
	}
}

// linkTo is a volume with a link in it.
func linkTo(t *testing.T, target string) (volume string) {
	volume = t.TempDir()
	if err := os.Symlink(target, filepath.Join(volume, "link")); err != nil {
		t.Fatal(err)
	}
	return volume
}

func bind(source, target string) specs.Mount {
	return specs.Mount{Source: source, Destination: target, Type: "bind", Options: []string{"bind"}}
}

func TestTheContainerIsAsTheBundleSays(t *testing.T) {
	umask := uint32(0o077)
	for name, c := range map[string]struct {
		command []string
		change  func(*specs.Spec)
		want    string
	}{
		"hostname": {[]string{"hostname"}, func(s *specs.Spec) { s.Hostname = "box" }, "box"},
		"user": {sh("id -u; id -g; id -G; umask"), func(s *specs.Spec) {
			s.Process.User = specs.User{UID: 12, GID: 13, AdditionalGids: []uint32{14}, Umask: &umask}
		}, "12\n13\n13 14\n0077"},
		"own processes": {sh("echo $$"), nil, "1"},
		"capabilities":  {sh("grep CapEff /proc/self/status"), nil, "CapEff:\t0000000020000420"},
		"no new privs":  {sh("grep NoNewPrivs /proc/self/status"), nil, "NoNewPrivs:\t1"},
		"read-only":     {sh("echo x > /x || echo refused"), nil, "sh: can't create /x: Read-only file system\nrefused"},
		"bind": {sh("cat /data/x; echo y > /data/x || echo refused"), func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data", Source: testdata(t), Type: "bind", Options: []string{"rbind", "ro"}})
			s.Root.Readonly = false
		}, "of the machine\nsh: can't create /data/x: Read-only file system\nrefused"},
		"sysctl": {[]string{"cat", "/proc/sys/net/ipv4/ip_forward"}, func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"}
		}, "1"},
		"user namespace": {[]string{"cat", "/proc/self/uid_map"}, func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user"})
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 0, Size: 70000}}
			s.Linux.GIDMappings = s.Linux.UIDMappings
		}, "0          0      70000"},
		"getcwd forbidden": {[]string{"echo", "started"}, func(s *specs.Spec) {
			s.Process.NoNewPrivileges = false // the filter is loaded before the working directory is entered
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"getcwd"}, Action: specs.ActErrno}}}
		}, "started"},
		"seccomp": {sh("mount -t tmpfs x /tmp 2>&1 | grep -c 'Numerical argument out of domain'"), func(s *specs.Spec) {
			code := uint(unix.EDOM)
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mount"}, Action: specs.ActErrno, ErrnoRet: &code}}}
		}, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := newWorld(t, c.change, c.command...).run(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestExecRunsACommandInTheContainer(t *testing.T) {
	w := newWorld(t, nil, "sleep", "100")
	c := w.mustCreate("c")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	p := c.Process()
	p.Args = sh("hostname; exit 3")
	if said, err := w.exec(c, &p); said != "dhow" || err == nil || err.Error() != "exit status 3" {
		t.Errorf("got %q, %v", said, err)
	}
}

func null(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestUpdateAndStats(t *testing.T) {
	w := newWorld(t, nil, "sleep", "100")
	c := w.mustCreate("c")
	limit := int64(64 << 20)
	if err := c.Update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}); err != nil {
		t.Fatal(err)
	}
	e, err := c.Events()
	if err != nil || e.Data.Memory.Usage.Limit != uint64(limit) {
		t.Errorf("the limit is %d, %v", e.Data.Memory.Usage.Limit, err)
	}
	pids, err := c.Processes()
	if err != nil || len(pids) != 1 || pids[0] != c.Pid() {
		t.Errorf("processes %v, %v; init is %d", pids, err, c.Pid())
	}
}

func testdata(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
