package server

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// GetContainerEvents tells of each change, with all containers of its pod, until the caller leaves. A caller that is too
// slow is told to list again.
func (s *runtimeService) GetContainerEvents(_ *cri.GetEventsRequest, to grpc.ServerStreamingServer[cri.ContainerEventResponse]) error {
	ctx := to.Context()
	for event := range s.Runtime.Events(ctx) {
		if err := to.Send(s.complete(ctx, event)); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return status.Error(codes.ResourceExhausted, "events were lost: list again, and ask for events again")
}

// complete adds what node agents want and runtimes need not know: all containers of the pod.
func (s *runtimeService) complete(ctx context.Context, e *cri.ContainerEventResponse) *cri.ContainerEventResponse {
	if len(e.ContainersStatuses) > 0 || e.GetPodSandboxStatus().GetId() == "" {
		return e
	}
	containers, err := s.statuses(ctx, e.PodSandboxStatus.Id)
	if err != nil {
		return e // the pod may be gone: the event says so
	}
	return &cri.ContainerEventResponse{
		ContainerId: e.ContainerId, ContainerEventType: e.ContainerEventType, CreatedAt: e.CreatedAt,
		PodSandboxStatus: e.PodSandboxStatus, ContainersStatuses: containers,
	}
}
