package containertest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func containerBehaviours() map[string]func(*rig) {
	return map[string]func(*rig){
		"a created container does not run":              createdOnly,
		"a started container runs":                      started,
		"a container starts once":                       startsOnce,
		"a container has its environment and folder":    environment,
		"removing a running container ends it":          removeRunning,
		"new limits are told":                           newLimits,
		"a container with a terminal has one":           ownTerminal,
		"containers of a pod come and go by themselves": independent,
	}
}

func createdOnly(r *rig) {
	before := time.Now().UnixNano()
	id := r.create(r.sh("echo ran"))
	s := r.status(id)
	if s.Id != id || s.State != cri.ContainerState_CONTAINER_CREATED || s.StartedAt != 0 || s.FinishedAt != 0 || s.CreatedAt < before {
		r.Errorf("status is %v", s)
	}
	if s.Metadata.GetName() != "c" || s.Metadata.GetAttempt() != 2 || s.Labels["part"] != "c" || s.Annotations["note"] != "of c" ||
		s.GetImage().GetImage() != r.Image || s.ImageRef == "" || filepath.Base(s.LogPath) != "c.log" {
		r.Errorf("it was not made so: %v", s)
	}
	if data, err := os.ReadFile(s.LogPath); err == nil && len(data) > 0 {
		r.Errorf("it said %q", data)
	}
}

func started(r *rig) {
	id := r.launch(r.command("sleep", "1000"))
	if s := r.status(id); s.State != cri.ContainerState_CONTAINER_RUNNING || s.StartedAt < s.CreatedAt || s.FinishedAt != 0 {
		r.Errorf("status is %v", s)
	}
}

func startsOnce(r *rig) {
	id := r.launch(r.command("true"))
	if err := r.Runtime.StartContainer(r.ctx, id); err == nil {
		r.Error("it started twice")
	}
	r.waitExit(id)
	if err := r.Runtime.StartContainer(r.ctx, id); err == nil {
		r.Error("it started after its end")
	}
}

func environment(r *rig) {
	config := r.sh("echo $KEY; pwd")
	config.Envs = []*cri.KeyValue{{Key: "KEY", Value: []byte("a value")}}
	config.WorkingDir = "/etc"
	if out, _ := r.result(config); out != "a value\n/etc\n" {
		r.Errorf("it said %q", out)
	}
}

func removeRunning(r *rig) {
	id := r.launch(r.command("sleep", "1000"))
	r.check(r.Runtime.RemoveContainer(r.ctx, id))
	_, err := r.Runtime.ContainerStatus(r.ctx, id)
	r.absent("its status", err)
	if s, err := r.Runtime.PodSandboxStatus(r.ctx, r.sandbox); err != nil || s.State != cri.PodSandboxState_SANDBOX_READY {
		r.Errorf("the sandbox is %v, %v", s, err)
	}
}

func newLimits(r *rig) {
	config := r.command("sleep", "1000")
	config.Linux.Resources = &cri.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 100000, CpuShares: 512, MemoryLimitInBytes: 64 << 20}
	id := r.launch(config)
	r.check(r.Runtime.UpdateContainerResources(r.ctx, id, &cri.ContainerResources{Linux: &cri.LinuxContainerResources{
		CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 256, MemoryLimitInBytes: 96 << 20,
	}}))
	if l := r.status(id).GetResources().GetLinux(); l.GetCpuQuota() != 50000 || l.GetCpuShares() != 256 || l.GetMemoryLimitInBytes() != 96<<20 {
		r.Errorf("limits are %v", l)
	}
}

func ownTerminal(r *rig) {
	config := r.sh("tty && echo yes")
	config.Tty = true
	if out, end := r.result(config); end.ExitCode != 0 || !strings.Contains(out, "/dev/") || !strings.Contains(out, "yes") {
		r.Errorf("it said %q and ended with %d", out, end.ExitCode)
	}
}

func independent(r *rig) {
	stays := r.launch(r.command("sleep", "1000"))
	r.waitExit(r.launch(r.command("false")))
	again := r.launch(r.command("true"))
	r.waitExit(again)
	r.check(r.Runtime.RemoveContainer(r.ctx, again))
	if s := r.status(stays); s.State != cri.ContainerState_CONTAINER_RUNNING {
		r.Errorf("the first is %v", s)
	}
}

func endBehaviours() map[string]func(*rig) {
	return map[string]func(*rig){
		"an exit code is kept":                               exitCode,
		"success is told as Completed":                       completed,
		"a command that is not there ends with 127":          notThere,
		"a file that is no program ends with 126":            noProgram,
		"an end by a signal is 128 and its number":           signalled,
		"memory beyond the limit is told as OOMKilled":       outOfMemory,
		"stop asks first":                                    stopAsks,
		"stop kills when the time is over":                   stopKills,
		"stop without time kills at once":                    stopAtOnce,
		"stop sends the signal that the configuration names": stopSignal,
		"stop ends with its context and the container lives": stopGivenUp,
	}
}

func exitCode(r *rig) {
	_, end := r.result(r.sh("exit 3"))
	if end.ExitCode != 3 || end.Reason != "Error" || end.StartedAt == 0 || end.FinishedAt < end.StartedAt || end.FinishedAt > time.Now().UnixNano() {
		r.Errorf("status is %v", end)
	}
}

func completed(r *rig) {
	if _, end := r.result(r.command("true")); end.ExitCode != 0 || end.Reason != "Completed" {
		r.Errorf("status is %v", end)
	}
}

func notThere(r *rig) {
	for _, path := range []string{"/bin/none", "none"} {
		r.cannotStart(path, 127)
	}
}

func noProgram(r *rig) { r.cannotStart("/etc/passwd", 126) }

func (r *rig) cannotStart(path string, code int32) {
	id := r.create(r.command(path))
	if err := r.Runtime.StartContainer(r.ctx, id); err == nil || !strings.Contains(err.Error(), path) {
		r.Errorf("start of %s: error is %v", path, err)
	}
	if s := r.status(id); s.State != cri.ContainerState_CONTAINER_EXITED || s.ExitCode != code || s.Reason != "StartError" || !strings.Contains(s.Message, path) {
		r.Errorf("%s: status is %v", path, s)
	}
}

func signalled(r *rig) {
	// The first process of a PID namespace cannot kill itself: the shell's child is killed, and the shell tells.
	if _, end := r.result(r.sh(`sh -c 'kill -9 $$'; exit $?`)); end.ExitCode != 137 {
		r.Errorf("status is %v", end)
	}
}

func outOfMemory(r *rig) {
	if !r.Limits {
		return
	}
	config := r.sh("x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo survived")
	config.Linux.Resources = &cri.LinuxContainerResources{MemoryLimitInBytes: 16 << 20}
	if out, end := r.result(config); end.Reason != "OOMKilled" || end.ExitCode == 0 {
		r.Errorf("status is %v, and it said %q", end, out)
	}
}

const polite = "trap 'exit 7' TERM; trap 'exit 9' USR1; echo up; while true; do sleep 0.02; done"

func stopAsks(r *rig) {
	id := r.launch(r.sh(polite))
	r.says(id, "up")
	r.check(r.Runtime.StopContainer(r.ctx, id, time.Minute))
	if s := r.status(id); s.State != cri.ContainerState_CONTAINER_EXITED || s.ExitCode != 7 {
		r.Errorf("status is %v", s)
	}
}

func stopKills(r *rig) {
	id := r.launch(r.sh("trap '' TERM; echo up; while true; do sleep 0.02; done"))
	r.says(id, "up")
	begin := time.Now()
	r.check(r.Runtime.StopContainer(r.ctx, id, time.Second))
	if s := r.status(id); s.ExitCode != 137 || time.Since(begin) < time.Second {
		r.Errorf("after %v status is %v", time.Since(begin), s)
	}
}

func stopAtOnce(r *rig) {
	id := r.launch(r.sh(polite))
	r.says(id, "up")
	r.check(r.Runtime.StopContainer(r.ctx, id, 0))
	if s := r.status(id); s.ExitCode != 137 {
		r.Errorf("status is %v", s)
	}
}

func stopSignal(r *rig) {
	config := r.sh(polite)
	config.StopSignal = cri.Signal_SIGNAL_SIGUSR1
	id := r.launch(config)
	r.says(id, "up")
	r.check(r.Runtime.StopContainer(r.ctx, id, time.Minute))
	if s := r.status(id); s.ExitCode != 9 {
		r.Errorf("status is %v", s)
	}
}

func stopGivenUp(r *rig) {
	id := r.launch(r.sh("trap '' TERM; echo up; while true; do sleep 0.02; done"))
	r.says(id, "up")
	ctx, cancel := context.WithTimeout(r.ctx, 200*time.Millisecond)
	defer cancel()
	if err := r.Runtime.StopContainer(ctx, id, time.Minute); err == nil {
		r.Error("stop says that it has worked")
	}
	if s := r.status(id); s.State != cri.ContainerState_CONTAINER_RUNNING {
		r.Errorf("status is %v", s)
	}
}
