package server

import (
	"context"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ContainerStats of one container.
func (s *runtimeService) ContainerStats(ctx context.Context, r *cri.ContainerStatsRequest) (*cri.ContainerStatsResponse, error) {
	stats, err := s.Runtime.ContainerStats(ctx, r.ContainerId)
	return &cri.ContainerStatsResponse{Stats: stats}, err
}

// ListContainerStats has the running ones.
func (s *runtimeService) ListContainerStats(ctx context.Context, r *cri.ListContainerStatsRequest) (*cri.ListContainerStatsResponse, error) {
	stats, err := s.Runtime.ListContainerStats(ctx, r.Filter)
	return &cri.ListContainerStatsResponse{Stats: stats}, err
}

// PodSandboxStats of one pod.
func (s *runtimeService) PodSandboxStats(ctx context.Context, r *cri.PodSandboxStatsRequest) (*cri.PodSandboxStatsResponse, error) {
	stats, err := s.Runtime.PodSandboxStats(ctx, r.PodSandboxId)
	return &cri.PodSandboxStatsResponse{Stats: stats}, err
}

// ListPodSandboxStats has the ready ones.
func (s *runtimeService) ListPodSandboxStats(ctx context.Context, r *cri.ListPodSandboxStatsRequest) (*cri.ListPodSandboxStatsResponse, error) {
	stats, err := s.Runtime.ListPodSandboxStats(ctx, r.Filter)
	return &cri.ListPodSandboxStatsResponse{Stats: stats}, err
}
