package server

import (
	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The lists once more, as streams: for nodes whose lists are larger than a message may be.

// StreamPodSandboxes is ListPodSandbox.
func (s *runtimeService) StreamPodSandboxes(r *cri.StreamPodSandboxesRequest, to grpc.ServerStreamingServer[cri.StreamPodSandboxesResponse]) error {
	all, err := s.Runtime.ListPodSandbox(to.Context(), r.Filter)
	return inChunks(all, err, func(part []*cri.PodSandbox) error {
		return to.Send(&cri.StreamPodSandboxesResponse{PodSandboxes: part})
	})
}

// StreamContainers is ListContainers.
func (s *runtimeService) StreamContainers(r *cri.StreamContainersRequest, to grpc.ServerStreamingServer[cri.StreamContainersResponse]) error {
	all, err := s.Runtime.ListContainers(to.Context(), r.Filter)
	return inChunks(all, err, func(part []*cri.Container) error {
		return to.Send(&cri.StreamContainersResponse{Containers: part})
	})
}

// StreamContainerStats is ListContainerStats.
func (s *runtimeService) StreamContainerStats(r *cri.StreamContainerStatsRequest, to grpc.ServerStreamingServer[cri.StreamContainerStatsResponse]) error {
	all, err := s.Runtime.ListContainerStats(to.Context(), r.Filter)
	return inChunks(all, err, func(part []*cri.ContainerStats) error {
		return to.Send(&cri.StreamContainerStatsResponse{ContainerStats: part})
	})
}

// StreamPodSandboxStats is ListPodSandboxStats.
func (s *runtimeService) StreamPodSandboxStats(r *cri.StreamPodSandboxStatsRequest, to grpc.ServerStreamingServer[cri.StreamPodSandboxStatsResponse]) error {
	all, err := s.Runtime.ListPodSandboxStats(to.Context(), r.Filter)
	return inChunks(all, err, func(part []*cri.PodSandboxStats) error {
		return to.Send(&cri.StreamPodSandboxStatsResponse{PodSandboxStats: part})
	})
}

// StreamPodSandboxMetrics is ListPodSandboxMetrics.
func (s *runtimeService) StreamPodSandboxMetrics(_ *cri.StreamPodSandboxMetricsRequest, to grpc.ServerStreamingServer[cri.StreamPodSandboxMetricsResponse]) error {
	all, err := s.metrics(to.Context())
	return inChunks(all, err, func(part []*cri.PodSandboxMetrics) error {
		return to.Send(&cri.StreamPodSandboxMetricsResponse{PodSandboxMetrics: part})
	})
}

// StreamImages is ListImages.
func (s *imageService) StreamImages(r *cri.StreamImagesRequest, to grpc.ServerStreamingServer[cri.StreamImagesResponse]) error {
	all, err := s.list(to.Context(), r.Filter)
	return inChunks(all, err, func(part []*cri.Image) error {
		return to.Send(&cri.StreamImagesResponse{Images: part})
	})
}
