package container

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cgroups"
	"dhow/container/processes"
	"dhow/internal/filelock"
)

// daemonSpec is what a daemon in a process of its own is told.
type daemonSpec struct{ StateDir, CgroupParent, Lower, Images, Logs string }

// busyDaemon runs an engine that makes, uses and removes pods until the process is killed.
func busyDaemon(text string) {
	var spec daemonSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		panic(err)
	}
	e, err := New(Config{
		StateDir: spec.StateDir, CgroupParent: spec.CgroupParent, Images: &busyboxImages{lower: spec.Lower, dir: spec.Images},
	})
	if err != nil {
		panic(err)
	}
	go func() { panic(e.Run(context.Background())) }()
	if err := e.Ready(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println("ready")
	go churn(e, spec.Logs, 0)
	churn(e, spec.Logs, 1)
}

// churn makes pods with a container that ends at once with code 3 and one that is stopped; it removes every other pod.
func churn(e *Engine, logs string, worker int) {
	ctx := context.Background()
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	for n := 0; ; n++ {
		pod := testPod(logs, fmt.Sprintf("churn-%d-%d", worker, n))
		id, err := e.RunPodSandbox(ctx, pod, "")
		must(err)
		short := sh("exit 3")
		short.LogPath = id + "-short.log"
		first, err := e.CreateContainer(ctx, id, short, pod)
		must(err)
		must(e.StartContainer(ctx, first))
		long := command("sleep", "1000")
		long.LogPath = id + "-long.log"
		second, err := e.CreateContainer(ctx, id, long, pod)
		must(err)
		must(e.StartContainer(ctx, second))
		if n%2 == 0 {
			must(e.RemoveContainer(ctx, second))
			must(e.RemovePodSandbox(ctx, id))
		}
	}
}

// daemon starts one and waits until it is at work.
func (r *rig) daemon() *exec.Cmd {
	r.t.Helper()
	images := r.config.Images.(*busyboxImages)
	spec, err := json.Marshal(daemonSpec{r.config.StateDir, r.config.CgroupParent, images.lower, images.dir, r.logs})
	check(r.t, err)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), daemonEnv+"="+string(spec))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(r.t, err)
	check(r.t, cmd.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		r.t.Fatalf("the daemon says %q, %v", line, err)
	}
	return cmd
}

// known are all ids that the engine knows.
func (r *rig) known() map[string]bool {
	r.t.Helper()
	pods, err := r.engine.ListPodSandbox(context.Background(), nil)
	check(r.t, err)
	containers, err := r.engine.ListContainers(context.Background(), nil)
	check(r.t, err)
	ids := map[string]bool{}
	for _, p := range pods {
		ids[p.Id] = true
		ids["shim-"+p.Id[:12]] = true
	}
	for _, c := range containers {
		ids[c.Id] = true
	}
	return ids
}

// orphans are the folders, groups, mounts and processes that no pod or container accounts for.
func (r *rig) orphans() []string {
	r.t.Helper()
	ids := r.known()
	var found []string
	look := func(pattern string) {
		paths, err := filepath.Glob(pattern)
		check(r.t, err)
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && info.IsDir() && !ids[filepath.Base(path)] {
				found = append(found, path)
			}
		}
	}
	look(r.config.StateDir + "/*")
	look(r.config.StateDir + "/*/" + containersDir + "/*")
	images := r.config.Images.(*busyboxImages)
	ids[filepath.Base(images.lower)] = true
	look(images.dir + "/*")
	groups, err := cgroups.Group(r.config.CgroupParent).Dirs()
	check(r.t, err)
	for _, dir := range groups {
		look(dir + "/kubepods/pod*/*")
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	check(r.t, err)
	if strings.Contains(string(table), r.config.StateDir) {
		found = append(found, "a mount below "+r.config.StateDir)
	}
	for _, pid := range processes.All() {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if id, ok := strings.CutPrefix(string(cmdline), "dhow-shim\x00"+r.config.StateDir+"/"); ok && !ids[id[:64]] {
			found = append(found, fmt.Sprintf("shim %d", pid))
		}
	}
	return found
}

// count is a script that writes numbered lines until it is told to stop, and then a last one.
const count = `trap stop=1 TERM; i=0; while [ -z "$stop" ]; do n=0; while [ $n -lt 40 ]; do echo line $i; i=$((i+1)); n=$((n+1)); done; sleep 0.01; done; echo end $i; exit 7`

// numbered checks that lines 0, 1, 2 … are there, each once, then the end, and returns how many there are.
func numbered(t *testing.T, out string) int {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(out), "\n")
	last := len(lines) - 1
	for i, line := range lines[:last] {
		if line != fmt.Sprintf("line %d", i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	if lines[last] != fmt.Sprintf("end %d", last) {
		t.Fatalf("the last line, %d, is %q", last, lines[last])
	}
	return last
}

func TestAKilledDaemonLosesNothingAndLeavesNothing(t *testing.T) {
	r := newRig(t)
	long := r.launch(sh(count))
	during := sh("sleep 0.4; exit 9")
	during.LogPath = "during.log"
	short := r.launch(during)
	r.halt()
	for round := range 10 {
		daemon := r.daemon()
		after := time.Duration(3+23*round) * time.Millisecond
		<-time.After(after) // into the making, the starting, the removing
		check(t, daemon.Process.Kill())
		_ = daemon.Wait()
		r.start()
		if found := r.orphans(); len(found) != 0 {
			t.Fatalf("killed after %v, it left %v", after, found)
		}
		r.halt()
	}
	r.start()
	if s := r.status(long); s.State != cri.ContainerState_CONTAINER_RUNNING {
		t.Fatalf("the long one is %v", s)
	}
	if s := r.waitExit(short); s.ExitCode != 9 {
		t.Errorf("the short one is %v", s)
	}
	r.settled()
	check(t, r.engine.StopContainer(context.Background(), long, time.Minute))
	if s := r.status(long); s.ExitCode != 7 {
		t.Errorf("the long one ended as %v", s)
	}
	if n := numbered(t, r.output()); n < 100 {
		t.Errorf("only %d lines", n)
	}
	r.removeAll()
	if found := r.orphans(); len(found) != 0 {
		t.Errorf("left: %v", found)
	}
}

// settled checks that every container of the killed daemons is in the state that it must be in.
func (r *rig) settled() {
	r.t.Helper()
	all, err := r.engine.ListContainers(context.Background(), nil)
	check(r.t, err)
	for _, c := range all {
		if !strings.Contains(r.status(c.Id).LogPath, "-short.log") {
			continue
		}
		if r.status(c.Id).State == cri.ContainerState_CONTAINER_CREATED {
			continue
		}
		end := r.waitExit(c.Id)
		pod, err := r.engine.PodSandboxStatus(context.Background(), c.PodSandboxId)
		check(r.t, err)
		if removed := pod.State != cri.PodSandboxState_SANDBOX_READY && end.ExitCode == 137; end.ExitCode != 3 && !removed {
			r.t.Errorf("a container that ended meanwhile is %v", end)
		}
	}
}

func (r *rig) removeAll() {
	r.t.Helper()
	pods, err := r.engine.ListPodSandbox(context.Background(), nil)
	check(r.t, err)
	for _, p := range pods {
		check(r.t, r.engine.RemovePodSandbox(context.Background(), p.Id))
	}
}

// A crash while a container's folder is being removed leaves what is known to be half-made, not a container without its end.
func TestARemovalBeginsWithTheRecord(t *testing.T) {
	r := newRig(t)
	id := r.launch(command("true"))
	r.waitExit(id)
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	check(t, err)
	defer unix.Close(watch)
	_, err = unix.InotifyAddWatch(watch, filepath.Join(r.config.StateDir, r.id, containersDir, id), unix.IN_DELETE)
	check(t, err)
	check(t, r.engine.RemoveContainer(context.Background(), id))
	events := make([]byte, 4096)
	n, err := unix.Read(watch, events)
	check(t, err)
	if n < unix.SizeofInotifyEvent {
		t.Fatalf("%d bytes tell of what was removed", n)
	}
	first, _, _ := strings.Cut(string(events[unix.SizeofInotifyEvent:n]), "\x00")
	if first != containerFile {
		t.Errorf("%s is removed first", first)
	}
}

// A crash between the making of a sandbox's folder and its record leaves a folder that nobody knows. It goes with the next
// clearing, unless a process is at that very point.
func TestAFolderWithoutARecordGoesUnlessItIsBeingMade(t *testing.T) {
	r := newRig(t)
	r.halt()
	dir := filepath.Join(r.config.StateDir, newID())
	check(t, os.MkdirAll(filepath.Join(dir, containersDir), 0o700))
	unlock, err := r.engine.lockFolders(filelock.Shared)
	check(t, err)
	cleared := make(chan error, 1)
	go func() { cleared <- r.engine.ClearHalfMade("somebody's") }()
	select {
	case err := <-cleared:
		t.Fatalf("cleared, with %v, while folders were being made", err)
	case <-time.After(100 * time.Millisecond):
	}
	check(t, writeJSON(filepath.Join(dir, sandboxFile), &sandbox{ID: filepath.Base(dir), Spec: []byte("{}")}))
	unlock()
	check(t, <-cleared)
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the one that has its record now is gone: %v", err)
	}
	check(t, os.Remove(filepath.Join(dir, sandboxFile)))
	check(t, r.engine.ClearHalfMade("somebody's"))
	if _, err := os.Stat(dir); err == nil {
		t.Error("the folder without a record is still there")
	}
}
