package server

import (
	"bytes"
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
)

// CreateContainer prepares a container in a sandbox.
func (s *runtimeService) CreateContainer(ctx context.Context, r *cri.CreateContainerRequest) (*cri.CreateContainerResponse, error) {
	switch {
	case r.PodSandboxId == "":
		return nil, missing("pod_sandbox_id")
	case r.GetConfig() == nil:
		return nil, missing("config")
	case r.Config.GetMetadata() == nil:
		return nil, missing("config.metadata")
	case r.Config.GetImage().GetImage() == "":
		return nil, missing("config.image.image")
	}
	if err := firstOf(checkContainer(r.Config), completeContainer(r.Config, r.SandboxConfig)); err != nil {
		return nil, err
	}
	id, err := s.Runtime.CreateContainer(ctx, r.PodSandboxId, r.Config, r.SandboxConfig)
	if err != nil {
		return nil, err
	}
	return &cri.CreateContainerResponse{ContainerId: id}, nil
}

// StartContainer runs a container's command.
func (s *runtimeService) StartContainer(ctx context.Context, r *cri.StartContainerRequest) (*cri.StartContainerResponse, error) {
	return &cri.StartContainerResponse{}, s.Runtime.StartContainer(ctx, r.ContainerId)
}

// StopContainer waits up to the timeout, then kills.
func (s *runtimeService) StopContainer(ctx context.Context, r *cri.StopContainerRequest) (*cri.StopContainerResponse, error) {
	if err := checkSeconds("timeout", r.Timeout); err != nil {
		return nil, err
	}
	return &cri.StopContainerResponse{}, s.Runtime.StopContainer(ctx, r.ContainerId, time.Duration(r.Timeout)*time.Second)
}

// RemoveContainer kills where needed; one that is gone is no error.
func (s *runtimeService) RemoveContainer(ctx context.Context, r *cri.RemoveContainerRequest) (*cri.RemoveContainerResponse, error) {
	return &cri.RemoveContainerResponse{}, s.Runtime.RemoveContainer(ctx, r.ContainerId)
}

// ListContainers lists by id, sandbox, state and labels.
func (s *runtimeService) ListContainers(ctx context.Context, r *cri.ListContainersRequest) (*cri.ListContainersResponse, error) {
	items, err := s.Runtime.ListContainers(ctx, r.Filter)
	return &cri.ListContainersResponse{Containers: items}, err
}

// ContainerStatus tells of one container.
func (s *runtimeService) ContainerStatus(ctx context.Context, r *cri.ContainerStatusRequest) (*cri.ContainerStatusResponse, error) {
	found, err := s.Runtime.ContainerStatus(ctx, r.ContainerId)
	if err != nil {
		return nil, err
	}
	return &cri.ContainerStatusResponse{Status: found, Info: s.details(r.Verbose, found)}, nil
}

// UpdateContainerResources changes the limits of a container.
func (s *runtimeService) UpdateContainerResources(ctx context.Context, r *cri.UpdateContainerResourcesRequest) (*cri.UpdateContainerResourcesResponse, error) {
	if r.Linux == nil {
		return nil, missing("linux")
	}
	if err := checkResources("linux", r.Linux); err != nil {
		return nil, err
	}
	err := s.Runtime.UpdateContainerResources(ctx, r.ContainerId, &cri.ContainerResources{Linux: r.Linux})
	return &cri.UpdateContainerResourcesResponse{}, err
}

// ReopenContainerLog follows a rotation.
func (s *runtimeService) ReopenContainerLog(ctx context.Context, r *cri.ReopenContainerLogRequest) (*cri.ReopenContainerLogResponse, error) {
	return &cri.ReopenContainerLogResponse{}, s.Runtime.ReopenContainerLog(ctx, r.ContainerId)
}

// ExecSync runs a command and answers with what it wrote.
func (s *runtimeService) ExecSync(ctx context.Context, r *cri.ExecSyncRequest) (*cri.ExecSyncResponse, error) {
	if len(r.Cmd) == 0 {
		return nil, missing("cmd")
	}
	if err := checkSeconds("timeout", r.Timeout); err != nil {
		return nil, err
	}
	if r.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.Timeout)*time.Second)
		defer cancel()
	}
	var out, errs capped
	code, err := s.Runtime.Exec(ctx, r.ContainerId, container.ExecOptions{Command: r.Cmd, Streams: container.Streams{Stdout: &out, Stderr: &errs}})
	if ctx.Err() != nil && r.Timeout > 0 {
		return nil, status.Errorf(codes.DeadlineExceeded, "command %q timed out after %d s", r.Cmd, r.Timeout)
	}
	if err != nil {
		return nil, err
	}
	return &cri.ExecSyncResponse{Stdout: out.Bytes(), Stderr: errs.Bytes(), ExitCode: int32(code)}, nil
}

// maxOutput of a command by ExecSync, each of its streams: the answer is one message.
const maxOutput = maxMessage/2 - 4096

// capped keeps the beginning of what is written and takes the rest without a word, as CRI asks.
type capped struct{ bytes.Buffer }

func (c *capped) Write(p []byte) (int, error) {
	c.Buffer.Write(p[:min(len(p), maxOutput-c.Len())])
	return len(p), nil
}
