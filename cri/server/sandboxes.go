package server

import (
	"context"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// runtimeService implements CRI's service of that name.
type runtimeService struct {
	cri.UnimplementedRuntimeServiceServer
	Config
	streams *streams
}

// RunPodSandbox starts a pod's sandbox.
func (s *runtimeService) RunPodSandbox(ctx context.Context, r *cri.RunPodSandboxRequest) (*cri.RunPodSandboxResponse, error) {
	switch {
	case r.GetConfig() == nil:
		return nil, missing("config")
	case r.Config.GetMetadata() == nil:
		return nil, missing("config.metadata")
	}
	if err := firstOf(checkSandbox(r.Config), completeSandbox(r.Config)); err != nil {
		return nil, err
	}
	id, err := s.Runtime.RunPodSandbox(ctx, r.Config, r.RuntimeHandler)
	if err != nil {
		return nil, err
	}
	return &cri.RunPodSandboxResponse{PodSandboxId: id}, nil
}

// StopPodSandbox ends a sandbox; one that is gone is no error.
func (s *runtimeService) StopPodSandbox(ctx context.Context, r *cri.StopPodSandboxRequest) (*cri.StopPodSandboxResponse, error) {
	return &cri.StopPodSandboxResponse{}, s.Runtime.StopPodSandbox(ctx, r.PodSandboxId)
}

// RemovePodSandbox forgets a sandbox; one that is gone is no error.
func (s *runtimeService) RemovePodSandbox(ctx context.Context, r *cri.RemovePodSandboxRequest) (*cri.RemovePodSandboxResponse, error) {
	return &cri.RemovePodSandboxResponse{}, s.Runtime.RemovePodSandbox(ctx, r.PodSandboxId)
}

// PodSandboxStatus has the containers' status, too, as of Timestamp.
func (s *runtimeService) PodSandboxStatus(ctx context.Context, r *cri.PodSandboxStatusRequest) (*cri.PodSandboxStatusResponse, error) {
	at := time.Now().UnixNano()
	status, err := s.Runtime.PodSandboxStatus(ctx, r.PodSandboxId)
	if err != nil {
		return nil, err
	}
	containers, err := s.statuses(ctx, r.PodSandboxId)
	if err != nil {
		return nil, err
	}
	return &cri.PodSandboxStatusResponse{Status: status, ContainersStatuses: containers, Timestamp: at, Info: s.details(r.Verbose, status)}, nil
}

// statuses are those of all containers of a sandbox. One that goes meanwhile is left out.
func (s *runtimeService) statuses(ctx context.Context, sandbox string) ([]*cri.ContainerStatus, error) {
	list, err := s.Runtime.ListContainers(ctx, &cri.ContainerFilter{PodSandboxId: sandbox})
	if err != nil {
		return nil, err
	}
	var all []*cri.ContainerStatus
	for _, c := range list {
		if status, err := s.Runtime.ContainerStatus(ctx, c.Id); err == nil {
			all = append(all, status)
		}
	}
	return all, nil
}

// ListPodSandbox lists by id, state and labels.
func (s *runtimeService) ListPodSandbox(ctx context.Context, r *cri.ListPodSandboxRequest) (*cri.ListPodSandboxResponse, error) {
	items, err := s.Runtime.ListPodSandbox(ctx, r.Filter)
	return &cri.ListPodSandboxResponse{Items: items}, err
}
