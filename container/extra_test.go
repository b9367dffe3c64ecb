package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cgroups"
)

// createWith makes a container with what CRI has no words for.
func (r *rig) createWith(config *cri.ContainerConfig, extra Extra) string {
	r.t.Helper()
	if r.id == "" {
		r.runPod()
	}
	id, err := r.engine.CreateContainerWith(context.Background(), r.id, config, r.pod, extra)
	check(r.t, err)
	return id
}

// resultWith runs a script to its end and returns its output and status.
func (r *rig) resultWith(config *cri.ContainerConfig, extra Extra) (string, *cri.ContainerStatus) {
	r.t.Helper()
	_ = os.Remove(filepath.Join(r.logs, "c.log"))
	id := r.createWith(config, extra)
	check(r.t, r.engine.StartContainer(context.Background(), id))
	status := r.waitExit(id)
	return r.output(), status
}

func TestWhatDockersFlagsAskForHolds(t *testing.T) {
	r := newRig(t)
	fill := t.TempDir()
	plain := t.TempDir()
	check(t, os.CopyFS(plain, os.DirFS(r.image())))
	check(t, os.WriteFile(filepath.Join(plain, "etc/mark"), []byte("plain\n"), 0o644))
	score, pids := 500, int64(33)
	volume := sh("cat /etc/group | head -1; touch /etc/new")
	volume.Mounts = []*cri.Mount{{HostPath: fill, ContainerPath: "/etc"}}
	for name, c := range map[string]struct {
		config *cri.ContainerConfig
		extra  Extra
		want   string
	}{
		"rlimits":      {sh("ulimit -n; ulimit -Hn; ulimit -c"), Extra{Rlimits: []Rlimit{{"nofile", 100, 200}, {"RLIMIT_CORE", 0, RlimitInfinity}}}, "100\n200\n0"},
		"groups":       {sh("id -G"), Extra{Groups: []string{"extra", "77"}}, "0 77 2000"},
		"tmpfs":        {sh("grep ' /scratch ' /proc/mounts; stat -c %a /scratch; ls -a /scratch"), Extra{Tmpfs: []Tmpfs{{Target: "/scratch", Size: 1 << 20, Mode: 0o750, Options: []string{"exec"}}}}, "tmpfs /scratch tmpfs rw,nosuid,nodev,relatime,size=1024k,mode=750"},
		"shm":          {sh("grep ' /dev/shm ' /proc/mounts"), Extra{ShmSize: 1 << 20}, "size=1024k"},
		"copy up":      {volume, Extra{CopyUp: []string{"/etc"}}, "root:x:0:"},
		"rootfs":       {sh("cat /etc/mark"), Extra{RootFS: &RootFS{Path: plain}}, "plain"},
		"overlaid":     {sh("cat /etc/mark; touch /written"), Extra{RootFS: &RootFS{Path: plain, Overlay: true}}, "plain"},
		"private uts":  {sh("cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname"), Extra{UTS: NamespacePrivate, Hostname: "skiff", Domainname: "sea"}, "skiff\nsea"},
		"private net":  {sh("grep -c : /proc/net/dev"), Extra{Network: NamespacePrivate}, "1"},
		"sysctl":       {sh("cat /proc/sys/kernel/msgmax"), Extra{IPC: NamespacePrivate, Sysctls: map[string]string{"kernel.msgmax": "4096"}}, "4096"},
		"clocks":       {sh("[ $(cut -d. -f1 /proc/uptime) -ge 3600000000 ] && echo late"), Extra{Time: &TimeOffsets{Boottime: 1000000 * time.Hour, Monotonic: time.Hour}}, "late"},
		"OOM score":    {sh("cat /proc/self/oom_score_adj"), Extra{OOMScoreAdj: &score}, "500"},
		"pids":         {sh("cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null"), Extra{PidsLimit: &pids}, "33"},
		"unmasked":     {sh("head -c 1 /proc/keys | wc -c; : >> /proc/sys/kernel/shmmax && echo writable"), Extra{MaskedPaths: []string{}, ReadonlyPaths: []string{}}, "1\nwritable"},
		"nnp":          {sh("grep NoNewPrivs /proc/self/status"), Extra{NoNewPrivileges: true}, "NoNewPrivs:\t1"},
		"host cgroups": {sh("cat /proc/self/cgroup"), Extra{Cgroup: NamespaceHost}, "dhow-test"},
		"reservation":  {sh("cat /sys/fs/cgroup/memory/memory.soft_limit_in_bytes /sys/fs/cgroup/memory.low 2>/dev/null"), Extra{MemoryReservation: 8 << 20}, fmt.Sprint(8 << 20)},
	} {
		out, status := r.resultWith(c.config, c.extra)
		if !strings.Contains(out, c.want) {
			t.Errorf("%s: %q is missing in %q (%v)", name, c.want, out, status.Message)
		}
	}
	if _, err := os.Stat(filepath.Join(fill, "new")); err != nil {
		t.Errorf("the volume that was filled is not used: %v", err)
	}
	if _, err := os.Stat(filepath.Join(plain, "written")); err == nil {
		t.Error("what is written over a directory is in it")
	}
}

func TestTheSmallInitReapsAndPassesSignalsOn(t *testing.T) {
	r := newRig(t)
	id := r.createWith(sh("trap 'exit 9' TERM; (sleep 0.1 &); echo $$; while true; do sleep 0.05; done"), Extra{Init: true})
	check(t, r.engine.StartContainer(context.Background(), id))
	r.eventually("it is up", func() bool { return r.output() != "" })
	if pid := r.output(); pid == "1" {
		t.Error("the command is process 1")
	}
	r.eventually("orphans are reaped", func() bool { return !strings.Contains(r.exec(id, "cat /proc/[0-9]*/stat"), " Z ") })
	check(t, r.engine.StopContainer(context.Background(), id, time.Minute))
	if s := r.status(id); s.ExitCode != 9 {
		t.Errorf("it ended with %d", s.ExitCode)
	}
	missing := r.createWith(command("/bin/none"), Extra{Init: true})
	if err := r.engine.StartContainer(context.Background(), missing); err == nil || r.status(missing).ExitCode != 127 {
		t.Errorf("a command that is not there: %v, %v", err, r.status(missing))
	}
}

func TestNamespacesAreSharedWithOtherContainers(t *testing.T) {
	r := newRig(t)
	first := r.createWith(command("sleep", "1000"), Extra{Network: NamespacePrivate, IPC: NamespacePrivate, UTS: NamespacePrivate, Hostname: "skiff"})
	check(t, r.engine.StartContainer(context.Background(), first))
	show := "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; readlink /proc/self/ns/uts; cat /proc/1/comm"
	theirs := r.exec(first, show)
	of := NamespaceMode("container:" + first)
	out, _ := r.resultWith(sh(show), Extra{Network: of, IPC: of, UTS: of, PID: of})
	if out+"\n" != theirs {
		t.Errorf("the second is in\n%s, the first in\n%s", out, theirs)
	}
	own, err := os.Readlink("/proc/self/ns/net")
	check(t, err)
	for _, mode := range []NamespaceMode{NamespaceHost, "ns:/proc/self/ns/net"} {
		if out, _ := r.resultWith(sh("readlink /proc/self/ns/net"), Extra{Network: mode}); out != own {
			t.Errorf("%s is %s, want %s", mode, out, own)
		}
	}
	for _, mode := range []NamespaceMode{"container:none", "sandbox:none", "ns:/no/such"} {
		id := r.createWith(command("true"), Extra{Network: mode})
		if err := r.engine.StartContainer(context.Background(), id); err == nil || !strings.Contains(err.Error(), string(mode)) {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func TestWhatMakesNoSenseIsRefused(t *testing.T) {
	r := newRig(t)
	r.runPod()
	high, timeout := uint64(101), 5
	swappiness := "not between 0 and 100"
	if cgroups.V2() {
		swappiness = "cgroup v2 has none"
	}
	for want, extra := range map[string]Extra{
		"unknown resource limit":   {Rlimits: []Rlimit{{"files", 1, 1}}},
		"over the hard limit":      {Rlimits: []Rlimit{{"nofile", 2, 1}}},
		"restart policy":           {Restart: Restart{Policy: "sometimes"}},
		"only be used with":        {Restart: Restart{Policy: RestartAlways, MaxRetries: 1}},
		"unknown signal":           {StopSignal: "SIGNONE", StopTimeout: &timeout},
		"want private, host":       {Network: "bridge"},
		"private uts namespace":    {Hostname: "x"},
		"whole machine's":          {Sysctls: map[string]string{"vm.swappiness": "1"}},
		"root directory":           {RootFS: &RootFS{Path: "/no/such"}},
		"unknown option":           {Tmpfs: []Tmpfs{{Target: "/x", Options: []string{"encrypted"}}}},
		swappiness:                 {Swappiness: &high},
		"not between 10 and 1000":  {BlockIO: BlockIO{Weight: 5}},
		"not a block device":       {BlockIO: BlockIO{ReadBPS: []DeviceLimit{{"/dev/null", 1}}}},
		"device rule":              {DeviceRules: []string{"c 1 rwm"}},
		"ipc namespace that is":    {IPC: NamespaceHost, Sysctls: map[string]string{"kernel.sem": "1"}},
		"cannot be negative":       {ShmSize: -1},
		"uts namespace that is no": {UTS: NamespaceHost, Sysctls: map[string]string{"kernel.domainname": "x"}},
	} {
		_, err := r.engine.CreateContainerWith(context.Background(), r.id, command("true"), r.pod, extra)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestHooksRunWhereAndWhenTheyShould(t *testing.T) {
	r := newRig(t)
	notes := filepath.Join(t.TempDir(), "notes")
	note := func(what string) specs.Hook {
		return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "echo " + what + " $(cat | tr -d '\\n' | grep -o '\"status\":\"[a-z]*\"') >> " + notes}}
	}
	inside := specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", "cat > /tmp/state"}}
	id := r.createWith(sh("cat /tmp/state"), Extra{Hooks: &specs.Hooks{
		CreateRuntime: []specs.Hook{note("createRuntime")}, CreateContainer: []specs.Hook{note("createContainer")},
		StartContainer: []specs.Hook{inside}, Poststart: []specs.Hook{note("poststart")}, Poststop: []specs.Hook{note("poststop")},
	}})
	check(t, r.engine.StartContainer(context.Background(), id))
	r.waitExit(id)
	if out := r.output(); !strings.Contains(out, id) {
		t.Errorf("startContainer's hook left %q", out)
	}
	check(t, r.engine.RemoveContainer(context.Background(), id))
	data, err := os.ReadFile(notes)
	check(t, err)
	want := "createRuntime \"status\":\"created\"\ncreateContainer \"status\":\"created\"\npoststart \"status\":\"running\"\npoststop \"status\":\"stopped\"\n"
	if string(data) != want {
		t.Errorf("hooks left\n%s", data)
	}
	failing := r.createWith(command("true"), Extra{Hooks: &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/false"}}}})
	if err := r.engine.StartContainer(context.Background(), failing); err == nil || !strings.Contains(err.Error(), "hook createRuntime") {
		t.Errorf("a hook that fails: %v", err)
	}
}

func TestTheLogIsKeptInBounds(t *testing.T) {
	r := newRig(t)
	_, _ = r.resultWith(sh("seq 1 20000"), Extra{Log: LogLimits{MaxSize: 64 << 10, MaxFiles: 3}})
	files, err := filepath.Glob(filepath.Join(r.logs, "c.log*"))
	check(t, err)
	if len(files) != 3 {
		t.Errorf("files: %v", files)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 64<<10 || info.Size() == 0 {
			t.Errorf("%s: %v %v", f, info, err)
		}
	}
	if !strings.HasSuffix(r.output(), "\n20000") {
		t.Error("the last line is not in the newest file")
	}
}
