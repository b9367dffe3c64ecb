package container

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func (r *rig) details(id string) *Details {
	r.t.Helper()
	d, err := r.engine.Details(context.Background(), id)
	check(r.t, err)
	return d
}

// started makes and starts a container.
func (r *rig) started(config *cri.ContainerConfig, extra Extra) string {
	r.t.Helper()
	id := r.createWith(config, extra)
	check(r.t, r.engine.StartContainer(context.Background(), id))
	return id
}

func TestTheShimRestartsAContainerAsItsPolicySays(t *testing.T) {
	r := newRig(t)
	begun := time.Now()
	failing := r.started(sh("exit 3"), Extra{Restart: Restart{Policy: RestartOnFailure, MaxRetries: 2}})
	r.halt() // it needs no daemon
	r.eventually("it has given up", func() bool {
		_, err := os.Stat(filepath.Join(r.config.StateDir, r.id, containersDir, failing, exitFile))
		return err == nil
	})
	r.start()
	if d := r.details(failing); d.Restarts != 2 || d.Exit.Code != 3 || time.Since(begun) < 300*time.Millisecond {
		t.Errorf("on failure: %+v after %v", d, time.Since(begun))
	}
	if d := r.details(r.started(sh("exit 0"), Extra{Restart: Restart{Policy: RestartOnFailure}})); d.Restarts != 0 {
		t.Errorf("without a failure: %+v", d)
	}
	always := r.started(sh("echo again; exit 0"), Extra{Restart: Restart{Policy: RestartAlways}})
	r.eventually("it has been restarted", func() bool { return r.details(always).Restarts >= 2 })
	if r.status(always).State != cri.ContainerState_CONTAINER_RUNNING {
		t.Error("to CRI it does not run")
	}
	r.eventually("it waits", func() bool { return r.details(always).Restarting })
	check(t, r.engine.StopContainer(context.Background(), always, time.Minute))
	if s := r.status(always); s.State != cri.ContainerState_CONTAINER_EXITED || s.ExitCode != 0 {
		t.Errorf("stopped while it waits: %v", s)
	}
}

func TestAStopThatWasAskedForEndsRestarts(t *testing.T) {
	r := newRig(t)
	for name, end := range map[string]func(id string) error{
		"stop": func(id string) error { return r.engine.StopContainer(context.Background(), id, time.Minute) },
		"kill": func(id string) error { return r.engine.Kill(context.Background(), id, "KILL") },
	} {
		config := sh("trap 'exit 4' TERM; echo up; while true; do sleep 0.05; done")
		config.LogPath = name + ".log"
		id := r.started(config, Extra{Restart: Restart{Policy: RestartUnlessStopped}})
		r.eventually("it listens to signals", func() bool { said, _ := os.ReadFile(filepath.Join(r.logs, config.LogPath)); return len(said) > 0 })
		check(t, end(id))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if _, err := r.engine.Wait(ctx, id); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
		if d := r.details(id); d.Restarts != 0 {
			t.Errorf("%s: %d restarts", name, d.Restarts)
		}
	}
	other := r.started(sh("trap 'echo hup' HUP; echo up; while true; do sleep 0.05; done"), Extra{Restart: Restart{Policy: RestartAlways}})
	r.eventually("it listens to another signal", func() bool { return strings.Contains(r.output(), "up") })
	check(t, r.engine.Kill(context.Background(), other, "SIGHUP")) // once: a storm of them would keep the shell from forking
	r.eventually("it hears another signal", func() bool { return strings.Contains(r.output(), "hup") })
	if err := r.engine.Kill(context.Background(), other, "SIGNONE"); err == nil || !strings.Contains(err.Error(), "SIGNONE") {
		t.Errorf("a signal that is none: %v", err)
	}
}

// Who starts the shim may ignore signals (nohup, a shell's &); a command that begins like that could not trap them.
func TestACommandIgnoresNoSignalThatItsStarterIgnored(t *testing.T) {
	started := []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR2}
	signal.Ignore(started...)
	defer signal.Reset(started...)
	r := newRig(t)
	id := r.launch(sh("grep -E 'Sig(Ign|Blk)' /proc/self/status; echo end; sleep 1000"))
	r.eventually("it has told", func() bool { return strings.Contains(r.output(), "end") })
	for how, out := range map[string]string{"start": r.output(), "exec": r.exec(id, "grep -E 'Sig(Ign|Blk)' /proc/self/status; echo end")} {
		if want := "SigBlk: 0000000000000000 SigIgn: 0000000000000000 end"; strings.Join(strings.Fields(out), " ") != want {
			t.Errorf("%s: %q", how, out)
		}
	}
}

func TestACommandIsExecutedWhereTheContainerHasTakenItsProcAway(t *testing.T) {
	r := newRig(t)
	config := sh("umount -l /proc && echo gone; sleep 1000")
	config.Linux.SecurityContext.Privileged = true
	id := r.launch(config)
	r.eventually("it has none", func() bool { return strings.Contains(r.output(), "gone") })
	if out := r.exec(id, "ls /proc; echo works"); out != "works\n" {
		t.Errorf("it says %q", out)
	}
}

func TestAPolicyCanBeChangedWhileTheContainerRuns(t *testing.T) {
	r := newRig(t)
	id := r.started(sh("while [ ! -e /tmp/end ]; do sleep 0.02; done; sleep 0.2"), Extra{})
	check(t, r.engine.UpdateContainerWith(context.Background(), id, nil, Extra{Restart: Restart{Policy: RestartAlways}}))
	r.exec(id, "touch /tmp/end")
	r.eventually("it is restarted", func() bool { return r.details(id).Restarts > 0 })
	check(t, r.engine.StopContainer(context.Background(), id, 0))
}

func TestAPausedContainerStandsStillAndCanBeStopped(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	id := r.launch(sh("i=0; while true; do i=$((i+1)); echo $i > /tmp/n; sleep 0.01; done"))
	upper := r.details(id).Upper
	count := func() string {
		data, err := os.ReadFile(filepath.Join(upper, "tmp/n"))
		if err != nil {
			return ""
		}
		return string(data)
	}
	r.eventually("it counts", func() bool { return count() != "" })
	check(t, r.engine.Pause(ctx, id))
	if err := r.engine.Pause(ctx, id); err == nil || !r.details(id).Paused {
		t.Errorf("paused twice: %v", err)
	}
	if _, err := r.engine.Exec(ctx, id, ExecOptions{Command: []string{"true"}}); err == nil || !strings.Contains(err.Error(), "paused") {
		t.Errorf("exec in a paused container: %v", err)
	}
	n := count()
	<-time.After(100 * time.Millisecond)
	if count() != n {
		t.Error("it counts while it is paused")
	}
	check(t, r.engine.Unpause(ctx, id))
	r.eventually("it counts again", func() bool { return count() != n })
	check(t, r.engine.Pause(ctx, id))
	check(t, r.engine.StopContainer(ctx, id, 100*time.Millisecond))
	frozen := r.launch(command("sleep", "1000"))
	check(t, r.engine.Pause(ctx, frozen))
	check(t, r.engine.RemovePodSandbox(ctx, r.id))
}

func TestTopListsProcesses(t *testing.T) {
	r := newRig(t)
	id := r.launch(sh("sleep 1000 & exec sleep 2000"))
	var all []Process
	r.eventually("both sleep", func() bool {
		var err error
		all, err = r.engine.Top(context.Background(), id)
		check(t, err)
		return len(all) == 2 && len(all[0].Args) == 2 && all[0].Args[1] == "2000" && all[1].Name == "sleep"
	})
	if all[0].InnerPID != 1 || all[1].PPID != all[0].PID || time.Since(all[0].Started) > time.Minute || all[0].RSS == 0 {
		t.Errorf("%+v", all)
	}
	if pid, err := r.engine.Pid(context.Background(), id); err != nil || pid != all[0].PID {
		t.Errorf("its first process is %d, %v", pid, err)
	}
}

func TestChangesAreTheContainersOwn(t *testing.T) {
	r := newRig(t)
	volume := t.TempDir()
	config := sh("rm /etc/notaprogram; echo x >> /etc/group; mkdir /new; echo a > /new/file; rm -r /tmp; mkdir /tmp; chmod 700 /bin")
	config.Mounts = []*cri.Mount{{HostPath: volume, ContainerPath: "/mnt/volume"}}
	check(t, os.WriteFile(filepath.Join(r.image(), "tmp/old"), nil, 0o644))
	id := r.launch(config)
	r.waitExit(id)
	changes, err := r.engine.Changes(context.Background(), id)
	check(t, err)
	var got []string
	for _, c := range changes {
		got = append(got, string(c.Kind)+" "+c.Path)
	}
	want := []string{"C /bin", "C /etc", "C /etc/group", "D /etc/notaprogram", "A /new", "A /new/file", "C /tmp", "D /tmp/old"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestUsageCounts(t *testing.T) {
	r := newRig(t)
	id := r.started(sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; dd if=/dev/zero of=/tmp/x bs=1M count=4 2>/dev/null; echo done; sleep 1000"), Extra{})
	r.eventually("it has worked", func() bool { return strings.Contains(r.output(), "done") })
	u, err := r.engine.Usage(context.Background(), id)
	check(t, err)
	if u.CPU <= 0 || u.Memory < 4<<20 || u.Pids != 1 || u.MemoryLimit != 0 {
		t.Errorf("%+v", u)
	}
	if _, ok := u.Networks["lo"]; !ok {
		t.Errorf("networks are %v", u.Networks)
	}
}
