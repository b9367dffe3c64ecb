package client

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const eventBacklog = 256

// Events implements container.Runtime. When the runtime goes away the channel is closed; the next call waits until it is
// back, or a second. Where a runtime tells no events, containers are listed again and again.
func (r *Runtime) Events(ctx context.Context) <-chan *cri.ContainerEventResponse {
	events := make(chan *cri.ContainerEventResponse, eventBacklog)
	stream, err := r.rpc.GetContainerEvents(ctx, &cri.GetEventsRequest{})
	go func() {
		defer close(events)
		for err == nil {
			var e *cri.ContainerEventResponse
			if e, err = stream.Recv(); err == nil && !offer(events, e) {
				return
			}
		}
		if status.Code(err) == codes.Unimplemented {
			r.poll(ctx, events)
			return
		}
		if ctx.Err() == nil {
			r.log.Debug("events of the container runtime have ended", "err", err)
			wait(ctx, time.Second)
		}
	}()
	return events
}

// offer is false when the reader is too slow.
func offer(to chan<- *cri.ContainerEventResponse, e *cri.ContainerEventResponse) bool {
	select {
	case to <- e:
		return true
	default:
		return false
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// snapshot is what a list says: the state and sandbox of each container, and the sandboxes.
type snapshot struct {
	states    map[string]cri.ContainerState
	sandboxOf map[string]string
	sandboxes map[string]*cri.PodSandboxStatus
}

func (r *Runtime) look(ctx context.Context) (snapshot, error) {
	s := snapshot{map[string]cri.ContainerState{}, map[string]string{}, map[string]*cri.PodSandboxStatus{}}
	sandboxes, err := r.ListPodSandbox(ctx, nil)
	if err != nil {
		return s, err
	}
	containers, err := r.ListContainers(ctx, nil)
	if err != nil {
		return s, err
	}
	for _, b := range sandboxes {
		s.sandboxes[b.Id] = &cri.PodSandboxStatus{Id: b.Id, Metadata: b.Metadata, State: b.State, CreatedAt: b.CreatedAt, Labels: b.Labels, Annotations: b.Annotations}
		s.states[b.Id], s.sandboxOf[b.Id] = sandboxState(b.State), b.Id
	}
	for _, c := range containers {
		s.states[c.Id], s.sandboxOf[c.Id] = c.State, c.PodSandboxId
	}
	return s, nil
}

// sandboxState treats a sandbox as the container it is for events.
func sandboxState(s cri.PodSandboxState) cri.ContainerState {
	if s == cri.PodSandboxState_SANDBOX_READY {
		return cri.ContainerState_CONTAINER_RUNNING
	}
	return cri.ContainerState_CONTAINER_EXITED
}

// changes are the events between two snapshots.
func changes(before, now snapshot, at int64) []*cri.ContainerEventResponse {
	var all []*cri.ContainerEventResponse
	tell := func(id string, kind cri.ContainerEventType, in snapshot) {
		all = append(all, &cri.ContainerEventResponse{
			ContainerId: id, ContainerEventType: kind, CreatedAt: at, PodSandboxStatus: in.sandboxes[in.sandboxOf[id]],
		})
	}
	kinds := map[cri.ContainerState]cri.ContainerEventType{
		cri.ContainerState_CONTAINER_CREATED: cri.ContainerEventType_CONTAINER_CREATED_EVENT,
		cri.ContainerState_CONTAINER_RUNNING: cri.ContainerEventType_CONTAINER_STARTED_EVENT,
		cri.ContainerState_CONTAINER_EXITED:  cri.ContainerEventType_CONTAINER_STOPPED_EVENT,
	}
	for id, state := range now.states {
		if was, known := before.states[id]; !known || was != state {
			if kind, ok := kinds[state]; ok {
				tell(id, kind, now)
			}
		}
	}
	for id := range before.states {
		if _, there := now.states[id]; !there {
			tell(id, cri.ContainerEventType_CONTAINER_DELETED_EVENT, before)
		}
	}
	return all
}

// poll looks again and again, and ends when the runtime does not answer.
func (r *Runtime) poll(ctx context.Context, events chan<- *cri.ContainerEventResponse) {
	before, err := r.look(ctx)
	for err == nil && ctx.Err() == nil {
		wait(ctx, r.config.Poll)
		var now snapshot
		if now, err = r.look(ctx); err != nil {
			break
		}
		for _, e := range changes(before, now, time.Now().UnixNano()) {
			if !offer(events, e) {
				return
			}
		}
		before = now
	}
	if ctx.Err() == nil {
		wait(ctx, time.Second)
	}
}
