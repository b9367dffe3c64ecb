package container

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cgroups"
	"dhow/internal/rootfs"
)

func TestWhatHasNoConfigurationIsRefused(t *testing.T) {
	r := newRig(t)
	r.runPod()
	if _, err := r.engine.RunPodSandbox(t.Context(), nil, ""); err == nil {
		t.Error("a pod is made of nothing")
	}
	if _, err := r.engine.CreateContainer(t.Context(), r.id, nil, nil); err == nil {
		t.Error("a container is made of nothing")
	}
}

func TestAPodSetsNoSysctlOfTheMachine(t *testing.T) {
	const file = "/proc/sys/vm/swappiness"
	before, err := os.ReadFile(file)
	check(t, err)
	r := newRig(t)
	for _, name := range []string{"vm.swappiness", "net/../vm/swappiness"} {
		r.pod.Linux.Sysctls = map[string]string{name: strings.TrimSpace(string(before))}
		if _, err := r.engine.RunPodSandbox(t.Context(), r.pod, ""); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.pod.Linux.Sysctls = map[string]string{"net.ipv4.ip_forward": "1"}
	if out, _ := r.result(sh("cat /proc/sys/net/ipv4/ip_forward")); out != "1" {
		t.Errorf("its own is %q", out)
	}
}

func TestAPodsGroupIsBelowTheEngines(t *testing.T) {
	r := newRig(t)
	r.pod.Linux.CgroupParent = "../../escaped"
	r.runPod()
	s, err := r.engine.sandbox(r.id)
	check(t, err)
	if want := cgroups.Group(r.config.CgroupParent + "/escaped"); s.Cgroup != want {
		t.Errorf("it is %s, want %s", s.Cgroup, want)
	}
}

func TestAnImagesStopSignalThatIsNoneIsSIGTERM(t *testing.T) {
	r := newRig(t)
	r.config.Images = &stopSignal{Images: r.config.Images, signal: "SIGRTMIN+99999"}
	r.halt()
	r.start()
	id := r.launch(sh("trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done"))
	r.eventually("it is up", func() bool { return strings.Contains(r.output(), "up") })
	check(t, r.engine.StopContainer(t.Context(), id, time.Minute))
	if status := r.status(id); status.ExitCode != 7 {
		t.Errorf("status is %v", status)
	}
}

// stopSignal are images with a stop signal of their own.
type stopSignal struct {
	Images
	signal string
}

func (i *stopSignal) Snapshot(ctx context.Context, key, image string) (*rootfs.Snapshot, error) {
	s, err := i.Images.Snapshot(ctx, key, image)
	if err == nil {
		s.Config.StopSignal = i.signal
	}
	return s, err
}

func TestNothingIsLeftOfAContainerWhosePodGoesWhileItIsMade(t *testing.T) {
	r := newRig(t)
	images := &slowImages{Images: r.config.Images, begun: make(chan string, 1), goOn: make(chan struct{})}
	r.config.Images = images
	r.halt()
	r.start()
	r.runPod()
	s, err := r.engine.sandbox(r.id)
	check(t, err)
	made := make(chan error, 1)
	go func() {
		_, err := r.engine.CreateContainer(context.Background(), r.id, command("true"), nil)
		made <- err
	}()
	<-images.begun
	removed := r.engine.RemovePodSandbox(t.Context(), r.id)
	close(images.goOn)
	if err := <-made; err == nil {
		t.Error("it was made")
	}
	check(t, errors.Join(removed, r.engine.RemovePodSandbox(t.Context(), r.id)))
	list, err := r.engine.ListContainers(t.Context(), nil)
	check(t, err)
	if len(list) > 0 {
		t.Errorf("it is known: %v", list)
	}
	if _, err := os.Stat(s.dir); err == nil {
		t.Error("its folder is left")
	}
	if dirs, err := s.Cgroup.Dirs(); err != nil || len(dirs) > 0 {
		t.Errorf("groups are left: %v, %v", dirs, err)
	}
}

// slowImages give roots when they are told to.
type slowImages struct {
	Images
	begun chan string
	goOn  chan struct{}
}

func (i *slowImages) Snapshot(ctx context.Context, key, image string) (*rootfs.Snapshot, error) {
	i.begun <- key
	<-i.goOn
	return i.Images.Snapshot(ctx, key, image)
}

func TestWhatAnExecLeavesBehindDoesNotHoldItsCaller(t *testing.T) {
	r := newRig(t)
	id := r.launch(command("sleep", "1000"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := notifier(make(chan struct{}, 1))
	ended := make(chan error, 1)
	go func() {
		_, err := r.engine.Exec(ctx, id, ExecOptions{Command: []string{"sh", "-c", "sleep 1000 & echo left"}, Streams: Streams{Stdout: seen}})
		ended <- err
	}()
	<-seen
	cancel()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("it waits for what is left")
	}
}

// notifier tells of what is written.
type notifier chan struct{}

func (n notifier) Write(p []byte) (int, error) {
	n <- struct{}{}
	return len(p), nil
}

func TestAPausedContainerWhoseShimIsKilledCanBeRemoved(t *testing.T) {
	r := newRig(t)
	id := r.launch(sh("trap : TERM; sleep 1000"))
	check(t, r.engine.Pause(t.Context(), id))
	s, err := r.engine.sandbox(r.id)
	check(t, err)
	shim, err := os.FindProcess(s.ShimPID)
	check(t, err)
	check(t, shim.Kill())
	r.waitExit(id)
	check(t, r.engine.RemovePodSandbox(t.Context(), r.id))
}

func TestAPodKeepsItsConfigurationAndItsNewLimits(t *testing.T) {
	r := newRig(t)
	r.runPod()
	check(t, r.engine.UpdatePodSandboxResources(t.Context(), r.id, &cri.LinuxContainerResources{MemoryLimitInBytes: 300 << 20}))
	r.halt()
	r.start()
	s, err := r.engine.sandbox(r.id)
	check(t, err)
	if s.config.Linux.Resources.GetMemoryLimitInBytes() != 300<<20 || s.config.Hostname != r.pod.Hostname {
		t.Errorf("its record says %v", s.config)
	}
}
