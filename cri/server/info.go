package server

import (
	"context"
	"net/netip"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Version tells who serves.
func (s *runtimeService) Version(ctx context.Context, _ *cri.VersionRequest) (*cri.VersionResponse, error) {
	return s.Runtime.Version(ctx)
}

// Status has the runtime's conditions, and what pods may ask of it.
func (s *runtimeService) Status(ctx context.Context, r *cri.StatusRequest) (*cri.StatusResponse, error) {
	answer, err := s.Runtime.Status(ctx)
	if err != nil {
		return nil, err
	}
	answer.Info = s.details(r.Verbose, answer)
	return answer, nil
}

// details are what a verbose answer has beside: the same as JSON, for people.
func (s *runtimeService) details(verbose bool, about proto.Message) map[string]string {
	if !verbose {
		return nil
	}
	text, err := protojson.Marshal(about)
	if err != nil {
		return nil
	}
	return map[string]string{"info": string(text)}
}

// RuntimeConfig: groups are made by their paths, not by systemd.
func (s *runtimeService) RuntimeConfig(context.Context, *cri.RuntimeConfigRequest) (*cri.RuntimeConfigResponse, error) {
	return &cri.RuntimeConfigResponse{Linux: &cri.LinuxRuntimeConfiguration{CgroupDriver: cri.CgroupDriver_CGROUPFS}}, nil
}

// UpdateRuntimeConfig takes the node's networks for pods.
func (s *runtimeService) UpdateRuntimeConfig(ctx context.Context, r *cri.UpdateRuntimeConfigRequest) (*cri.UpdateRuntimeConfigResponse, error) {
	text := r.GetRuntimeConfig().GetNetworkConfig().GetPodCidr()
	if text == "" || s.SetPodCIDRs == nil {
		return &cri.UpdateRuntimeConfigResponse{}, nil
	}
	var networks []netip.Prefix
	for part := range strings.SplitSeq(text, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(part))
		if err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "runtime_config.network_config.pod_cidr: %v", err)
		}
		networks = append(networks, p)
	}
	return &cri.UpdateRuntimeConfigResponse{}, s.SetPodCIDRs(ctx, networks)
}

// The kernel has no way of its own to freeze a process into a file and back, and dhow carries no tool that has one.
func noCheckpoints() error {
	return status.Error(codes.Unimplemented, "dhow makes no checkpoints of containers or pods")
}

// CheckpointContainer is not to be had.
func (s *runtimeService) CheckpointContainer(context.Context, *cri.CheckpointContainerRequest) (*cri.CheckpointContainerResponse, error) {
	return nil, noCheckpoints()
}

// CheckpointPod is not to be had.
func (s *runtimeService) CheckpointPod(context.Context, *cri.CheckpointPodRequest) (*cri.CheckpointPodResponse, error) {
	return nil, noCheckpoints()
}

// RestorePod is not to be had.
func (s *runtimeService) RestorePod(context.Context, *cri.RestorePodRequest) (*cri.RestorePodResponse, error) {
	return nil, noCheckpoints()
}

// podResizer is a runtime that can change the limits of a pod's own group.
type podResizer interface {
	UpdatePodSandboxResources(ctx context.Context, id string, resources *cri.LinuxContainerResources) error
}

// UpdatePodSandboxResources is best effort by contract: node agents set the pod's group themselves.
func (s *runtimeService) UpdatePodSandboxResources(ctx context.Context, r *cri.UpdatePodSandboxResourcesRequest) (*cri.UpdatePodSandboxResourcesResponse, error) {
	if r.Resources == nil {
		return nil, missing("resources")
	}
	if err := checkResources("resources", r.Resources); err != nil {
		return nil, err
	}
	if _, err := s.Runtime.PodSandboxStatus(ctx, r.PodSandboxId); err != nil {
		return nil, err
	}
	if p, ok := s.Runtime.(podResizer); ok {
		return &cri.UpdatePodSandboxResourcesResponse{}, p.UpdatePodSandboxResources(ctx, r.PodSandboxId, r.Resources)
	}
	return &cri.UpdatePodSandboxResourcesResponse{}, nil
}
