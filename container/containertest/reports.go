package containertest

import (
	"context"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func reportBehaviours() map[string]func(*rig) {
	return map[string]func(*rig){
		"the runtime tells its name and that it is ready": whoAndHow,
		"a running container has figures":                 containerFigures,
		"a ready pod has figures":                         podFigures,
		"events tell of each step":                        eventSteps,
		"events end with their context":                   eventsEnd,
	}
}

func whoAndHow(r *rig) {
	v, err := r.Runtime.Version(r.ctx)
	r.check(err)
	if v.RuntimeName == "" || v.RuntimeVersion == "" || v.RuntimeApiVersion != "v1" {
		r.Errorf("version is %v", v)
	}
	s, err := r.Runtime.Status(r.ctx)
	r.check(err)
	conditions := map[string]bool{}
	for _, c := range s.GetStatus().GetConditions() {
		conditions[c.Type] = c.Status
	}
	if !conditions["RuntimeReady"] || !conditions["NetworkReady"] {
		r.Errorf("conditions are %v", s.GetStatus())
	}
	if len(s.RuntimeHandlers) == 0 || s.RuntimeHandlers[0].Name != "" || s.RuntimeHandlers[0].Features == nil {
		r.Errorf("handlers are %v, and none is what pods without a class get", s.RuntimeHandlers)
	}
}

func containerFigures(r *rig) {
	id := r.launch(r.sh("x=$(head -c 3000000 /dev/zero | tr '\\0' x); echo up; sleep 1000; true"))
	r.says(id, "up")
	s, err := r.Runtime.ContainerStats(r.ctx, id)
	r.check(err)
	if s.GetAttributes().GetId() != id || s.Attributes.GetMetadata().GetName() != "c" || s.Attributes.Labels["part"] != "c" {
		r.Errorf("attributes are %v", s.GetAttributes())
	}
	if s.GetCpu().GetUsageCoreNanoSeconds().GetValue() == 0 || s.GetCpu().GetTimestamp() == 0 || s.GetMemory().GetWorkingSetBytes().GetValue() < 1<<20 {
		r.Errorf("figures are %v", s)
	}
	r.waitExit(r.launch(r.command("true")))
	list, err := r.Runtime.ListContainerStats(r.ctx, &cri.ContainerStatsFilter{PodSandboxId: r.sandbox, LabelSelector: map[string]string{"part": "c"}})
	r.check(err)
	if len(list) != 1 || list[0].GetAttributes().GetId() != id {
		r.Errorf("listed are %v", list)
	}
}

func podFigures(r *rig) {
	id := r.launch(r.command("sleep", "1000"))
	s, err := r.Runtime.PodSandboxStats(r.ctx, r.sandbox)
	r.check(err)
	if s.GetAttributes().GetId() != r.sandbox || s.Attributes.GetMetadata().GetName() != "p1" || s.GetLinux().GetMemory() == nil || s.GetLinux().GetCpu() == nil {
		r.Errorf("figures are %v", s)
	}
	if c := s.GetLinux().GetContainers(); len(c) != 1 || c[0].GetAttributes().GetId() != id {
		r.Errorf("its containers are %v", c)
	}
	stopped, _ := r.pod()
	r.check(r.Runtime.StopPodSandbox(r.ctx, stopped))
	list, err := r.Runtime.ListPodSandboxStats(r.ctx, nil)
	r.check(err)
	if len(list) != 1 || list[0].GetAttributes().GetId() != r.sandbox {
		r.Errorf("listed are %v", list)
	}
}

func eventSteps(r *rig) {
	r.first()
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	events := r.listen(ctx)
	id := r.launch(r.command("true"))
	r.waitExit(id)
	r.check(r.Runtime.RemoveContainer(r.ctx, id))
	for _, want := range []cri.ContainerEventType{
		cri.ContainerEventType_CONTAINER_CREATED_EVENT, cri.ContainerEventType_CONTAINER_STARTED_EVENT,
		cri.ContainerEventType_CONTAINER_STOPPED_EVENT, cri.ContainerEventType_CONTAINER_DELETED_EVENT,
	} {
		e := r.next(events)
		if e.ContainerEventType != want || e.ContainerId != id || e.CreatedAt == 0 || e.PodSandboxStatus.GetId() != r.sandbox {
			r.Errorf("got %v of %s in %v, want %v", e.ContainerEventType, e.ContainerId, e.PodSandboxStatus, want)
		}
	}
}

// listen returns once events come. The first ones may be lost while a stream is being opened.
func (r *rig) listen(ctx context.Context) <-chan *cri.ContainerEventResponse {
	r.Helper()
	events := r.Runtime.Events(ctx)
	var last string
	r.eventually("an event comes", func() bool {
		last = r.create(r.command("true"))
		select {
		case <-events:
			return true
		case <-time.After(100 * time.Millisecond):
			return false
		}
	})
	r.check(r.Runtime.RemoveContainer(r.ctx, last))
	for e := r.next(events); e.ContainerEventType != cri.ContainerEventType_CONTAINER_DELETED_EVENT; e = r.next(events) {
	}
	return events
}

func (r *rig) next(events <-chan *cri.ContainerEventResponse) *cri.ContainerEventResponse {
	r.Helper()
	select {
	case e, open := <-events:
		if !open {
			r.Fatal("events have ended")
		}
		return e
	case <-time.After(patience):
		r.Fatal("no event comes")
	}
	return nil
}

func eventsEnd(r *rig) {
	ctx, cancel := context.WithCancel(r.ctx)
	events := r.Runtime.Events(ctx)
	cancel()
	r.eventually("the channel is closed", func() bool {
		select {
		case _, open := <-events:
			return !open
		default:
			return false
		}
	})
}
