package container

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// tells is an exit command that writes down where it runs.
func tells(t *testing.T, file string) *ExitCommand {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	check(t, err)
	script := `files=$(cd /proc/$$/fd && echo *)
	{
		for n in net ipc uts mnt user pid; do readlink /proc/self/ns/$n; done
		cat /proc/self/cgroup
		echo "leader $(($$ == $(cut -d' ' -f6 /proc/$$/stat))) in $PWD with $files and $(tr '\0' ' ' </proc/$$/environ)"
	} >$0.new 2>&1; mv $0.new $0`
	return &ExitCommand{Path: busybox, Args: []string{"sh", "-c", script, file}, Env: []string{"KEY=value"}}
}

func TestTheExitCommandRunsWhereTheContainerWasStarted(t *testing.T) {
	r := newRig(t)
	file := filepath.Join(t.TempDir(), "told")
	id := r.createWith(sh("exit 3"), Extra{ExitCommand: tells(t, file)})
	check(t, r.engine.StartContainer(context.Background(), id))
	r.eventually("the exit command has run", func() bool { _, err := os.Stat(file); return err == nil })
	data, err := os.ReadFile(file)
	check(t, err)
	var want strings.Builder
	for _, name := range []string{"net", "ipc", "uts", "mnt", "user", "pid"} {
		link, err := os.Readlink("/proc/self/ns/" + name)
		check(t, err)
		want.WriteString(link + "\n")
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	check(t, err)
	want.Write(groups)
	// Descriptor 3 is the shell's own, for what it reads from echo.
	want.WriteString("leader 1 in / with 0 1 2 3 and KEY=value \n")
	if string(data) != want.String() {
		t.Errorf("it says:\n%swant:\n%s", data, want.String())
	}
	if s := r.status(id); s.State != cri.ContainerState_CONTAINER_EXITED || s.ExitCode != 3 {
		t.Errorf("by then the container's end is not on record: %v", s)
	}
}

func TestTheExitCommandComesAfterTheLastRun(t *testing.T) {
	r := newRig(t)
	file := filepath.Join(t.TempDir(), "told")
	id := r.createWith(sh("exit 3"), Extra{ExitCommand: tells(t, file), Restart: Restart{Policy: RestartOnFailure, MaxRetries: 2}})
	check(t, r.engine.StartContainer(context.Background(), id))
	r.eventually("the exit command has run", func() bool { _, err := os.Stat(file); return err == nil })
	if d, err := r.engine.Details(context.Background(), id); err != nil || d.Restarts != 2 {
		t.Errorf("after %v (%v)", d, err)
	}
}

func TestTheExitCommandIsLeftToWhoHasStoppedTheContainer(t *testing.T) {
	r := newRig(t)
	file := filepath.Join(t.TempDir(), "told")
	id := r.createWith(command("sleep", "1000"), Extra{ExitCommand: tells(t, file)})
	check(t, r.engine.StartContainer(context.Background(), id))
	begun := time.Now()
	check(t, r.engine.StopContainer(context.Background(), id, 0))
	r.eventually("who has stopped it does no more, and the exit command runs", func() bool { _, err := os.Stat(file); return err == nil })
	if took := time.Since(begun); took < 400*time.Millisecond {
		t.Errorf("it has come after %v", took)
	}
}

func TestAPodThatSharesItsProcessesHasNoExitCommands(t *testing.T) {
	r := newRig(t)
	r.pod.Linux = &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{Pid: cri.NamespaceMode_POD}}}
	r.runPod()
	_, err := r.engine.CreateContainerWith(context.Background(), r.id, sh("exit 3"), r.pod, Extra{ExitCommand: &ExitCommand{Path: "/bin/true"}})
	if err == nil || !strings.Contains(err.Error(), "exit command") {
		t.Errorf("it is made: %v", err)
	}
}
