package containertest

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
)

func sandboxBehaviours() map[string]func(*rig) {
	return map[string]func(*rig){
		"a sandbox is ready once it runs":                     readySandbox,
		"an unknown handler is refused by its name":           unknownHandler,
		"what does not exist is not found":                    nothingThere,
		"stopping and removing what is gone is no error":      goneAlready,
		"stopping a sandbox ends its containers":              stopSandbox,
		"a stopped sandbox takes no containers":               stoppedSandbox,
		"removing a sandbox forgets it and its containers":    removeSandbox,
		"sandboxes are listed by id and state and labels":     listSandboxes,
		"containers are listed by id sandbox state and label": listContainers,
		"many pods at once":                                   manyPods,
	}
}

func readySandbox(r *rig) {
	before := time.Now().UnixNano()
	id, config := r.pod()
	s, err := r.Runtime.PodSandboxStatus(r.ctx, id)
	r.check(err)
	if s.Id != id || s.State != cri.PodSandboxState_SANDBOX_READY || s.CreatedAt < before || s.CreatedAt > time.Now().UnixNano() {
		r.Errorf("status is %v", s)
	}
	if s.Metadata.GetName() != config.Metadata.Name || s.Metadata.GetUid() != config.Metadata.Uid || s.Metadata.GetAttempt() != 1 ||
		s.Labels["app"] != "p1" || s.Annotations["note"] != "of p1" {
		r.Errorf("it was run as %v, and is %v", config, s)
	}
}

func unknownHandler(r *rig) {
	if _, err := r.Runtime.RunPodSandbox(r.ctx, r.podConfig(), "no-such"); err == nil || !strings.Contains(err.Error(), "no-such") {
		r.Errorf("error is %v", err)
	}
	left, err := r.Runtime.ListPodSandbox(r.ctx, nil)
	r.check(err)
	if len(left) != 0 {
		r.Errorf("it left %v", left)
	}
}

func nothingThere(r *rig) {
	ctx, runtime, id := r.ctx, r.Runtime, strings.Repeat("0", 64)
	_, err := runtime.PodSandboxStatus(ctx, id)
	r.absent("PodSandboxStatus", err)
	_, err = runtime.CreateContainer(ctx, id, r.command("true"), r.podConfig())
	r.absent("CreateContainer", err)
	r.absent("StartContainer", runtime.StartContainer(ctx, id))
	_, err = runtime.ContainerStatus(ctx, id)
	r.absent("ContainerStatus", err)
	r.absent("UpdateContainerResources", runtime.UpdateContainerResources(ctx, id, &cri.ContainerResources{Linux: &cri.LinuxContainerResources{}}))
	r.absent("ReopenContainerLog", runtime.ReopenContainerLog(ctx, id))
	_, err = runtime.Exec(ctx, id, container.ExecOptions{Command: []string{"true"}})
	r.absent("Exec", err)
	r.absent("Attach", runtime.Attach(ctx, id, container.Streams{Stdout: &buffer{}}))
	near, far := net.Pipe()
	defer far.Close()
	r.absent("PortForward", runtime.PortForward(ctx, id, 1, near))
	_, err = runtime.ContainerStats(ctx, id)
	r.absent("ContainerStats", err)
	_, err = runtime.PodSandboxStats(ctx, id)
	r.absent("PodSandboxStats", err)
}

func goneAlready(r *rig) {
	id := strings.Repeat("0", 64)
	for range 2 {
		r.check(r.Runtime.StopPodSandbox(r.ctx, id))
		r.check(r.Runtime.RemovePodSandbox(r.ctx, id))
		r.check(r.Runtime.StopContainer(r.ctx, id, time.Second))
		r.check(r.Runtime.RemoveContainer(r.ctx, id))
		id = r.launch(r.command("true"))
		r.waitExit(id)
		r.check(r.Runtime.StopContainer(r.ctx, id, time.Second))
		r.check(r.Runtime.RemoveContainer(r.ctx, id))
	}
	for range 2 {
		r.check(r.Runtime.StopPodSandbox(r.ctx, r.sandbox))
	}
	for range 2 {
		r.check(r.Runtime.RemovePodSandbox(r.ctx, r.sandbox))
	}
}

func stopSandbox(r *rig) {
	id := r.launch(r.command("sleep", "1000"))
	r.check(r.Runtime.StopPodSandbox(r.ctx, r.sandbox))
	if s := r.status(id); s.State != cri.ContainerState_CONTAINER_EXITED || s.ExitCode != 137 {
		r.Errorf("the container is %v", s)
	}
	s, err := r.Runtime.PodSandboxStatus(r.ctx, r.sandbox)
	r.check(err)
	if s.State != cri.PodSandboxState_SANDBOX_NOTREADY {
		r.Errorf("the sandbox is %v", s.State)
	}
}

func stoppedSandbox(r *rig) {
	r.check(r.Runtime.StopPodSandbox(r.ctx, r.first()))
	if _, err := r.Runtime.CreateContainer(r.ctx, r.sandbox, r.command("true"), r.podConfig()); err == nil {
		r.Error("it took one")
	}
}

func removeSandbox(r *rig) {
	id := r.launch(r.command("sleep", "1000"))
	r.check(r.Runtime.RemovePodSandbox(r.ctx, r.sandbox))
	_, err := r.Runtime.PodSandboxStatus(r.ctx, r.sandbox)
	r.absent("its status", err)
	_, err = r.Runtime.ContainerStatus(r.ctx, id)
	r.absent("its container's status", err)
	left, err := r.Runtime.ListContainers(r.ctx, nil)
	r.check(err)
	if len(left) != 0 {
		r.Errorf("containers left: %v", left)
	}
}

func listSandboxes(r *rig) {
	ready, _ := r.pod()
	stopped, _ := r.pod()
	r.check(r.Runtime.StopPodSandbox(r.ctx, stopped))
	state := func(s cri.PodSandboxState) *cri.PodSandboxStateValue { return &cri.PodSandboxStateValue{State: s} }
	for name, c := range map[string]struct {
		filter *cri.PodSandboxFilter
		want   []string
	}{
		"none":     {nil, []string{ready, stopped}},
		"empty":    {&cri.PodSandboxFilter{}, []string{ready, stopped}},
		"id":       {&cri.PodSandboxFilter{Id: ready}, []string{ready}},
		"ready":    {&cri.PodSandboxFilter{State: state(cri.PodSandboxState_SANDBOX_READY)}, []string{ready}},
		"notready": {&cri.PodSandboxFilter{State: state(cri.PodSandboxState_SANDBOX_NOTREADY)}, []string{stopped}},
		"label":    {&cri.PodSandboxFilter{LabelSelector: map[string]string{"app": "p2"}}, []string{stopped}},
		"both":     {&cri.PodSandboxFilter{Id: ready, LabelSelector: map[string]string{"app": "p2"}}, nil},
	} {
		list, err := r.Runtime.ListPodSandbox(r.ctx, c.filter)
		r.check(err)
		var got []string
		for _, s := range list {
			got = append(got, s.Id)
		}
		r.same(name, got, c.want)
	}
}

func listContainers(r *rig) {
	up := r.launch(r.command("sleep", "1000"))
	other, _ := r.pod()
	config := r.command("true")
	config.Labels = map[string]string{"part": "d"}
	made := r.createIn(other, config)
	state := func(s cri.ContainerState) *cri.ContainerStateValue { return &cri.ContainerStateValue{State: s} }
	for name, c := range map[string]struct {
		filter *cri.ContainerFilter
		want   []string
	}{
		"none":    {nil, []string{up, made}},
		"id":      {&cri.ContainerFilter{Id: up}, []string{up}},
		"sandbox": {&cri.ContainerFilter{PodSandboxId: other}, []string{made}},
		"running": {&cri.ContainerFilter{State: state(cri.ContainerState_CONTAINER_RUNNING)}, []string{up}},
		"created": {&cri.ContainerFilter{State: state(cri.ContainerState_CONTAINER_CREATED)}, []string{made}},
		"label":   {&cri.ContainerFilter{LabelSelector: map[string]string{"part": "d"}}, []string{made}},
		"both":    {&cri.ContainerFilter{PodSandboxId: other, LabelSelector: map[string]string{"part": "c"}}, nil},
	} {
		list, err := r.Runtime.ListContainers(r.ctx, c.filter)
		r.check(err)
		var got []string
		for _, item := range list {
			got = append(got, item.Id)
			if item.Id == made && (item.PodSandboxId != other || item.Metadata.GetName() != "c" || item.Labels["part"] != "d") {
				r.Errorf("%s: listed as %v", name, item)
			}
		}
		r.same(name, got, c.want)
	}
}

// same compares without regard to order.
func (r *rig) same(what string, got, want []string) {
	r.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func manyPods(r *rig) {
	const n = 8
	var configs []*cri.PodSandboxConfig
	for range n {
		configs = append(configs, r.podConfig())
	}
	failed := make(chan error, n)
	var all sync.WaitGroup
	for _, config := range configs {
		all.Go(func() { failed <- r.life(config) })
	}
	all.Wait()
	close(failed)
	for err := range failed {
		r.check(err)
	}
	left, err := r.Runtime.ListPodSandbox(r.ctx, nil)
	r.check(err)
	if len(left) != 0 {
		r.Errorf("left: %v", left)
	}
}

// life is a pod's from its start to its removal.
func (r *rig) life(config *cri.PodSandboxConfig) error {
	sandbox, err := r.Runtime.RunPodSandbox(r.ctx, config, "")
	if err != nil {
		return err
	}
	c := r.sh("echo " + config.Metadata.Name)
	c.LogPath = filepath.Join("many.log")
	id, err := r.Runtime.CreateContainer(r.ctx, sandbox, c, config)
	if err != nil {
		return err
	}
	if err := r.Runtime.StartContainer(r.ctx, id); err != nil {
		return err
	}
	return r.Runtime.RemovePodSandbox(r.ctx, sandbox)
}
