package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cgroups"
	"dhow/internal/rootfs"
)

// busyboxImages gives every container a root with busybox, whatever image it names.
type busyboxImages struct {
	lower string
	dir   string
}

// newBusybox makes the root once for a test.
func newBusybox(t testing.TB) *busyboxImages {
	t.Helper()
	dir := t.TempDir()
	lower := filepath.Join(dir, "lower")
	for _, d := range []string{"bin", "etc", "tmp", "proc", "sys", "dev"} {
		check(t, os.MkdirAll(filepath.Join(lower, d), 0o755))
	}
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal("busybox is missing: apt-get install busybox-static")
	}
	data, err := os.ReadFile(path)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(lower, "bin/busybox"), data, 0o755))
	for _, name := range []string{"sh", "cat", "sleep", "echo", "id", "env", "true", "false", "ls", "kill", "mount", "touch", "stty", "tty", "readlink", "unshare", "head", "wc", "grep", "mknod", "seq", "nc", "od", "printf", "stat", "pwd", "cut", "yes", "dd", "tr"} {
		check(t, os.Symlink("busybox", filepath.Join(lower, "bin", name)))
	}
	check(t, os.WriteFile(filepath.Join(lower, "etc/passwd"), []byte("root:x:0:0::/root:/bin/sh\nworker:x:1000:1001::/tmp:/bin/sh\n"), 0o644))
	check(t, os.WriteFile(filepath.Join(lower, "etc/group"), []byte("root:x:0:\nworkers:x:1001:\nextra:x:2000:worker\n"), 0o644))
	check(t, os.WriteFile(filepath.Join(lower, "etc/notaprogram"), []byte("x"), 0o644))
	return &busyboxImages{lower: lower, dir: dir}
}

func (b *busyboxImages) Snapshot(_ context.Context, key, _ string) (*rootfs.Snapshot, error) {
	upper, work := filepath.Join(b.dir, key, "upper"), filepath.Join(b.dir, key, "work")
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
		return nil, err
	}
	return &rootfs.Snapshot{
		Lower: []string{b.lower}, Upper: upper, Work: work, ImageID: "sha256:busybox",
		Config: ocispec.ImageConfig{Env: []string{"FROM=image"}, Cmd: []string{"true"}},
	}, nil
}

func (b *busyboxImages) RemoveSnapshot(_ context.Context, key string) error {
	return os.RemoveAll(filepath.Join(b.dir, key))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is an engine with one pod on it.
type rig struct {
	t      testing.TB
	engine *Engine
	config Config
	pod    *cri.PodSandboxConfig
	id     string
	logs   string
	ended  chan error
	stop   context.CancelFunc
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, logs: t.TempDir()}
	r.config = Config{
		StateDir: filepath.Join(t.TempDir(), "state"), CgroupParent: fmt.Sprintf("/dhow-test-%d", os.Getpid()), Images: newBusybox(t),
		Program: os.Getenv("DHOW_BENCH_PROGRAM"),
	}
	r.start()
	t.Cleanup(func() {
		r.halt()
		if err := Reset(context.Background(), r.config); err != nil {
			t.Errorf("reset: %v", err)
		}
	})
	r.pod = testPod(r.logs, "p")
	return r
}

func testPod(logs, name string) *cri.PodSandboxConfig {
	return &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: name, Namespace: "n", Uid: "u"}, Hostname: "vessel", LogDirectory: logs,
		DnsConfig: &cri.DNSConfig{Servers: []string{"10.0.0.10"}, Searches: []string{"a.b"}},
		Linux:     &cri.LinuxPodSandboxConfig{CgroupParent: "/kubepods/pod" + newID()[:8]},
	}
}

func (r *rig) start() {
	r.t.Helper()
	e, err := New(r.config)
	check(r.t, err)
	ctx, stop := context.WithCancel(context.Background())
	r.engine, r.stop, r.ended = e, stop, make(chan error, 1)
	go func() { r.ended <- e.Run(ctx) }()
	check(r.t, e.Ready(ctx))
}

// halt stops the engine, not the pods.
func (r *rig) halt() {
	r.t.Helper()
	r.stop()
	check(r.t, <-r.ended)
	r.ended <- nil
}

func (r *rig) runPod() {
	r.t.Helper()
	id, err := r.engine.RunPodSandbox(context.Background(), r.pod, "")
	check(r.t, err)
	r.id = id
}

func command(args ...string) *cri.ContainerConfig {
	return &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: "busybox"}, Command: args, LogPath: "c.log",
		Linux: &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER},
			Seccomp:          &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
		}},
	}
}

func sh(script string) *cri.ContainerConfig { return command("sh", "-c", script) }

func (r *rig) create(config *cri.ContainerConfig) string {
	r.t.Helper()
	if r.id == "" {
		r.runPod()
	}
	id, err := r.engine.CreateContainer(context.Background(), r.id, config, r.pod)
	check(r.t, err)
	return id
}

func (r *rig) launch(config *cri.ContainerConfig) string {
	r.t.Helper()
	id := r.create(config)
	check(r.t, r.engine.StartContainer(context.Background(), id))
	return id
}

func (r *rig) status(id string) *cri.ContainerStatus {
	r.t.Helper()
	s, err := r.engine.ContainerStatus(context.Background(), id)
	check(r.t, err)
	return s
}

func (r *rig) eventually(what string, done func() bool) {
	r.t.Helper()
	deadline := time.After(3 * time.Minute) // an emulated machine is slow, and may have little of its host
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("not so after three minutes: %s", what)
		}
	}
}

func (r *rig) waitExit(id string) *cri.ContainerStatus {
	r.t.Helper()
	r.eventually("the container has ended", func() bool { return r.status(id).State == cri.ContainerState_CONTAINER_EXITED })
	return r.status(id)
}

// output is what the container wrote, without times. A line that is being written while it is read, of which only the
// beginning may be there, is left out.
func (r *rig) output() string {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.logs, "c.log"))
	check(r.t, err)
	var lines []string
	for line := range strings.Lines(string(data)) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		if len(fields) < 4 {
			r.t.Fatalf("log line %q is not in CRI's format", line)
		}
		lines = append(lines, fields[3])
	}
	return strings.Join(lines, "\n")
}

// result runs a script in a fresh container and returns its output and status.
func (r *rig) result(config *cri.ContainerConfig) (string, *cri.ContainerStatus) {
	r.t.Helper()
	_ = os.Remove(filepath.Join(r.logs, "c.log"))
	status := r.waitExit(r.launch(config))
	return r.output(), status
}

func TestAContainerRunsLogsAndEnds(t *testing.T) {
	r := newRig(t)
	out, status := r.result(sh("echo out; echo err >&2; exit 3"))
	if out != "out\nerr" && out != "err\nout" {
		t.Errorf("log is %q", out)
	}
	if status.ExitCode != 3 || status.Reason != reasonError || status.FinishedAt < status.StartedAt || status.StartedAt == 0 {
		t.Errorf("status is %v", status)
	}
	data, err := os.ReadFile(filepath.Join(r.logs, "c.log"))
	check(t, err)
	if !strings.Contains(string(data), " stdout F out\n") || !strings.Contains(string(data), " stderr F err\n") {
		t.Errorf("log is not in CRI format: %s", data)
	}
}

func TestWhatTheContainerSees(t *testing.T) {
	r := newRig(t)
	out, _ := r.result(sh("echo $$; cat /etc/hostname /etc/resolv.conf; env | head -20; ls /dev /proc/1/fd; id -u; readlink /proc/self/cwd"))
	for _, want := range []string{"1\nvessel\n", "search a.b\nnameserver 10.0.0.10", "FROM=image", "HOSTNAME=vessel", "null", "HOME=/root"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
}

func TestUsersAreLookedUpInTheImage(t *testing.T) {
	r := newRig(t)
	config := sh("id; env")
	config.Linux.SecurityContext.RunAsUsername = "worker"
	config.Linux.SecurityContext.SupplementalGroups = []int64{3000}
	out, _ := r.result(config)
	for _, want := range []string{"uid=1000(worker)", "gid=1001(workers)", "2000(extra)", "3000", "HOME=/tmp"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in %s", want, out)
		}
	}
}

func TestGroupsAreTheImagesUnlessItNamesOne(t *testing.T) {
	r := newRig(t)
	number := func(n int64) *cri.Int64Value { return &cri.Int64Value{Value: n} }
	for want, who := range map[string]*cri.LinuxContainerSecurityContext{
		"uid=1000(worker) gid=1001(workers) groups=1001(workers),2000(extra)": {RunAsUser: number(1000)},
		"uid=1000(worker) gid=3000 groups=2000(extra),3000":                   {RunAsUser: number(1000), RunAsGroup: number(3000)},
		"uid=1000(worker) gid=2000(extra) groups=2000(extra)":                 {RunAsUsername: "worker:extra"},
		"uid=4242 gid=0(root) groups=0(root)":                                 {RunAsUsername: "4242"},
		"uid=4242 gid=1001(workers) groups=1001(workers)":                     {RunAsUsername: "4242:workers"},
		"uid=0(root) gid=0(root) groups=0(root)":                              {},
	} {
		config := command("id")
		config.Linux.SecurityContext = who
		if out, _ := r.result(config); out != want {
			t.Errorf("%v is %s, want %s", who, out, want)
		}
	}
}

func TestACommandThatIsNotThereIsAStartError(t *testing.T) {
	r := newRig(t)
	for path, want := range map[string]int32{"/bin/none": 127, "none": 127, "/etc/notaprogram": 126} {
		id := r.create(command(path))
		err := r.engine.StartContainer(context.Background(), id)
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: start says %v", path, err)
		}
		if s := r.status(id); s.ExitCode != want || s.Reason != reasonStartError || !strings.Contains(s.Message, path) {
			t.Errorf("%s: status is %v", path, s)
		}
	}
}

func TestMemoryBeyondTheLimitIsToldAsOOMKilled(t *testing.T) {
	r := newRig(t)
	config := sh("dd if=/dev/zero of=/dev/null bs=64M count=1; echo survived; exit 1") // its buffer is the block
	config.Linux.Resources = &cri.LinuxContainerResources{MemoryLimitInBytes: 16 << 20}
	out, status := r.result(config)
	if status.Reason != reasonOOMKilled {
		t.Errorf("status is %v, it says %s", status, out)
	}
}

func TestStopAsksFirstThenKills(t *testing.T) {
	r := newRig(t)
	polite := r.launch(sh("trap 'exit 7' TERM; echo up; while true; do sleep 0.05; done"))
	r.eventually("it is up", func() bool { return strings.Contains(r.output(), "up") })
	check(t, r.engine.StopContainer(context.Background(), polite, time.Minute))
	if s := r.status(polite); s.ExitCode != 7 {
		t.Errorf("a polite one ended with %d", s.ExitCode)
	}
	stubborn := r.launch(sh("trap '' TERM; while true; do sleep 0.05; done"))
	check(t, r.engine.StopContainer(context.Background(), stubborn, 200*time.Millisecond))
	if s := r.status(stubborn); s.ExitCode != 137 {
		t.Errorf("a stubborn one ended with %d", s.ExitCode)
	}
}

func TestExecRunsBesideTheContainer(t *testing.T) {
	r := newRig(t)
	id := r.launch(command("sleep", "1000"))
	var out, errs bytes.Buffer
	code, err := r.engine.Exec(context.Background(), id, ExecOptions{
		Command: []string{"sh", "-c", "cat; cat /etc/hostname; echo oops >&2; exit 5"},
		Streams: Streams{Stdin: strings.NewReader("in\n"), Stdout: &out, Stderr: &errs},
	})
	check(t, err)
	if code != 5 || out.String() != "in\nvessel\n" || errs.String() != "oops\n" {
		t.Errorf("code %d, out %q, err %q", code, out.String(), errs.String())
	}
	_, err = r.engine.Exec(context.Background(), id, ExecOptions{Command: []string{"/bin/none"}})
	var start *ExecError
	if !errors.As(err, &start) || start.Code != 127 {
		t.Errorf("a missing command: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := r.engine.Exec(ctx, id, ExecOptions{Command: []string{"sleep", "1000"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an exec that takes too long: %v", err)
	}
}

func TestExecWithATerminal(t *testing.T) {
	r := newRig(t)
	id := r.launch(command("sleep", "1000"))
	sizes := make(chan TerminalSize, 1)
	sizes <- TerminalSize{Width: 91, Height: 17}
	var out bytes.Buffer
	code, err := r.engine.Exec(context.Background(), id, ExecOptions{
		Command: []string{"sh", "-c", "tty; stty size"}, Streams: Streams{Stdout: &out, TTY: true, Resize: sizes},
	})
	check(t, err)
	if code != 0 || !strings.Contains(out.String(), "/dev/pts/") || !strings.Contains(out.String(), "17 91") {
		t.Errorf("code %d, out %q", code, out.String())
	}
}

func TestAttachSeesAndFeedsTheContainer(t *testing.T) {
	r := newRig(t)
	config := sh("cat; echo done")
	config.Stdin, config.StdinOnce = true, true
	id := r.launch(config)
	var out bytes.Buffer
	check(t, r.engine.Attach(context.Background(), id, Streams{Stdin: strings.NewReader("hello\n"), Stdout: &out}))
	if out.String() != "hello\ndone\n" {
		t.Errorf("attached saw %q", out.String())
	}
}

func TestAttachEndsWithItsInputWhereTheContainerKeepsItsOwn(t *testing.T) {
	r := newRig(t)
	config := sh("read first; read second; echo $first $second")
	config.Stdin = true
	id := r.launch(config)
	check(t, r.engine.Attach(context.Background(), id, Streams{Stdin: strings.NewReader("one\n"), Stdout: io.Discard}))
	if s := r.status(id); s.State != cri.ContainerState_CONTAINER_RUNNING {
		t.Fatalf("after the first client the container is %v", s)
	}
	input, feed := io.Pipe()
	defer feed.Close()
	var out bytes.Buffer
	go func() { _, _ = io.WriteString(feed, "two\n") }()
	check(t, r.engine.Attach(context.Background(), id, Streams{Stdin: input, Stdout: &out}))
	if out.String() != "one two\n" {
		t.Errorf("the second client saw %q", out.String())
	}
}

func TestContainersOutliveTheEngineAndTheirEndsAreKept(t *testing.T) {
	r := newRig(t)
	long := r.launch(command("sleep", "1000"))
	short := r.launch(sh("sleep 0.3; exit 9"))
	r.halt()
	r.eventually("the short one has ended by itself", func() bool {
		_, err := os.Stat(filepath.Join(r.config.StateDir, r.id, containersDir, short, exitFile))
		return err == nil
	})
	r.start()
	if s := r.status(long); s.State != cri.ContainerState_CONTAINER_RUNNING {
		t.Errorf("the long one is %v", s)
	}
	if s := r.status(short); s.ExitCode != 9 {
		t.Errorf("the short one is %v", s)
	}
	var out bytes.Buffer
	if _, err := r.engine.Exec(context.Background(), long, ExecOptions{Command: []string{"echo", "still here"}, Streams: Streams{Stdout: &out}}); err != nil || out.String() != "still here\n" {
		t.Errorf("exec in an adopted container: %q, %v", out.String(), err)
	}
}

func TestAKilledShimTakesItsPodWithIt(t *testing.T) {
	r := newRig(t)
	id := r.launch(command("sleep", "1000"))
	s, err := r.engine.sandbox(r.id)
	check(t, err)
	p, err := os.FindProcess(s.ShimPID)
	check(t, err)
	check(t, p.Kill())
	if status := r.waitExit(id); status.ExitCode != 137 {
		t.Errorf("status is %v", status)
	}
	r.eventually("the sandbox is not ready", func() bool {
		status, err := r.engine.PodSandboxStatus(context.Background(), r.id)
		return err == nil && status.State == cri.PodSandboxState_SANDBOX_NOTREADY
	})
}

func TestRemovingAPodLeavesNothing(t *testing.T) {
	r := newRig(t)
	r.launch(command("sleep", "1000"))
	check(t, r.engine.RemovePodSandbox(context.Background(), r.id))
	left, err := filepath.Glob(filepath.Join(r.config.StateDir, "[0-9a-f]*"))
	check(t, err)
	if len(left) != 0 {
		t.Errorf("state left: %v", left)
	}
	groups, err := cgroups.Group(r.config.CgroupParent).In(r.pod.Linux.CgroupParent).Dirs()
	check(t, err)
	if len(groups) > 0 {
		t.Errorf("cgroups left: %v", groups)
	}
	if _, err := r.engine.PodSandboxStatus(context.Background(), r.id); !errors.Is(err, ErrNotFound) {
		t.Errorf("status of a removed pod: %v", err)
	}
}

func TestEventsTellOfEachStep(t *testing.T) {
	r := newRig(t)
	r.runPod()
	ctx, cancel := context.WithCancel(context.Background())
	events := r.engine.Events(ctx)
	id := r.launch(command("true"))
	for _, want := range []cri.ContainerEventType{
		cri.ContainerEventType_CONTAINER_CREATED_EVENT, cri.ContainerEventType_CONTAINER_STARTED_EVENT, cri.ContainerEventType_CONTAINER_STOPPED_EVENT,
	} {
		select {
		case e := <-events:
			if e.ContainerEventType != want || e.ContainerId != id {
				t.Errorf("got %v of %s, want %v", e.ContainerEventType, e.ContainerId, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("no event %v", want)
		}
	}
	cancel()
	r.eventually("the channel is closed", func() bool { _, open := <-events; return !open })
}
