package client

import (
	"context"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CreateContainer implements container.Runtime.
func (r *Runtime) CreateContainer(ctx context.Context, sandboxID string, config *cri.ContainerConfig, sandbox *cri.PodSandboxConfig) (string, error) {
	answer, err := call(ctx, r.config.Timeout, r.rpc.CreateContainer, &cri.CreateContainerRequest{
		PodSandboxId: sandboxID, Config: config, SandboxConfig: r.withParent(sandbox),
	})
	return answer.GetContainerId(), err
}

// StartContainer implements container.Runtime.
func (r *Runtime) StartContainer(ctx context.Context, id string) error {
	_, err := call(ctx, r.config.Timeout, r.rpc.StartContainer, &cri.StartContainerRequest{ContainerId: id})
	return err
}

// StopContainer implements container.Runtime. CRI counts in whole seconds.
func (r *Runtime) StopContainer(ctx context.Context, id string, timeout time.Duration) error {
	_, err := call(ctx, timeout+r.config.Timeout, r.rpc.StopContainer, &cri.StopContainerRequest{ContainerId: id, Timeout: seconds(timeout)})
	return gone(err)
}

// seconds rounds up: a short time must not become none.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// RemoveContainer implements container.Runtime. Some runtimes remove what has stopped only.
func (r *Runtime) RemoveContainer(ctx context.Context, id string) error {
	if err := r.StopContainer(ctx, id, 0); err != nil {
		return err
	}
	_, err := call(ctx, r.config.Timeout, r.rpc.RemoveContainer, &cri.RemoveContainerRequest{ContainerId: id})
	return gone(err)
}

// ContainerStatus implements container.Runtime.
func (r *Runtime) ContainerStatus(ctx context.Context, id string) (*cri.ContainerStatus, error) {
	answer, err := call(ctx, r.config.Timeout, r.rpc.ContainerStatus, &cri.ContainerStatusRequest{ContainerId: id})
	return answer.GetStatus(), err
}

// ListContainers implements container.Runtime.
func (r *Runtime) ListContainers(ctx context.Context, filter *cri.ContainerFilter) ([]*cri.Container, error) {
	answer, err := call(ctx, r.config.Timeout, r.rpc.ListContainers, &cri.ListContainersRequest{Filter: filter})
	return answer.GetContainers(), err
}

// UpdateContainerResources implements container.Runtime.
func (r *Runtime) UpdateContainerResources(ctx context.Context, id string, resources *cri.ContainerResources) error {
	_, err := call(ctx, r.config.Timeout, r.rpc.UpdateContainerResources, &cri.UpdateContainerResourcesRequest{
		ContainerId: id, Linux: resources.GetLinux(), Windows: resources.GetWindows(),
	})
	return err
}

// ReopenContainerLog implements container.Runtime.
func (r *Runtime) ReopenContainerLog(ctx context.Context, id string) error {
	_, err := call(ctx, r.config.Timeout, r.rpc.ReopenContainerLog, &cri.ReopenContainerLogRequest{ContainerId: id})
	return err
}

// ContainerStats implements container.Runtime.
func (r *Runtime) ContainerStats(ctx context.Context, id string) (*cri.ContainerStats, error) {
	answer, err := call(ctx, r.config.Timeout, r.rpc.ContainerStats, &cri.ContainerStatsRequest{ContainerId: id})
	return answer.GetStats(), err
}

// ListContainerStats implements container.Runtime.
func (r *Runtime) ListContainerStats(ctx context.Context, filter *cri.ContainerStatsFilter) ([]*cri.ContainerStats, error) {
	answer, err := call(ctx, r.config.Timeout, r.rpc.ListContainerStats, &cri.ListContainerStatsRequest{Filter: filter})
	return answer.GetStats(), err
}

// PodSandboxStats implements container.Runtime.
func (r *Runtime) PodSandboxStats(ctx context.Context, id string) (*cri.PodSandboxStats, error) {
	answer, err := call(ctx, r.config.Timeout, r.rpc.PodSandboxStats, &cri.PodSandboxStatsRequest{PodSandboxId: id})
	return answer.GetStats(), err
}

// ListPodSandboxStats implements container.Runtime.
func (r *Runtime) ListPodSandboxStats(ctx context.Context, filter *cri.PodSandboxStatsFilter) ([]*cri.PodSandboxStats, error) {
	answer, err := call(ctx, r.config.Timeout, r.rpc.ListPodSandboxStats, &cri.ListPodSandboxStatsRequest{Filter: filter})
	return answer.GetStats(), err
}
