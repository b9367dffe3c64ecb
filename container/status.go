package container

import (
	"context"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Reasons of an end, as kubectl users know them.
const (
	reasonCompleted  = "Completed"
	reasonError      = "Error"
	reasonOOMKilled  = "OOMKilled"
	reasonStartError = "StartError"
)

func (s *sandbox) state() cri.PodSandboxState {
	if s.Stopped || !s.shimLives() {
		return cri.PodSandboxState_SANDBOX_NOTREADY
	}
	return cri.PodSandboxState_SANDBOX_READY
}

func (s *sandbox) status() *cri.PodSandboxStatus {
	status := &cri.PodSandboxStatus{
		Id: s.ID, Metadata: s.config.GetMetadata(), State: s.state(), CreatedAt: s.Created,
		Network: &cri.PodSandboxNetworkStatus{}, Labels: s.config.Labels, Annotations: s.config.Annotations,
		Linux: &cri.LinuxPodSandboxStatus{Namespaces: &cri.Namespace{Options: s.namespaces()}},
	}
	for i, ip := range s.IPs {
		if i == 0 {
			status.Network.Ip = ip
			continue
		}
		status.Network.AdditionalIps = append(status.Network.AdditionalIps, &cri.PodIP{Ip: ip})
	}
	return status
}

// PodSandboxStatus implements Runtime.
func (e *Engine) PodSandboxStatus(_ context.Context, id string) (*cri.PodSandboxStatus, error) {
	s, err := e.sandbox(id)
	if err != nil {
		return nil, err
	}
	return s.status(), nil
}

// ListPodSandbox implements Runtime.
func (e *Engine) ListPodSandbox(_ context.Context, filter *cri.PodSandboxFilter) ([]*cri.PodSandbox, error) {
	e.mu.Lock()
	var all []*sandbox
	for _, s := range e.sandboxes {
		all = append(all, s)
	}
	e.mu.Unlock()
	var found []*cri.PodSandbox
	for _, s := range all {
		item := &cri.PodSandbox{
			Id: s.ID, Metadata: s.config.GetMetadata(), State: s.state(), CreatedAt: s.Created,
			Labels: s.config.Labels, Annotations: s.config.Annotations,
		}
		if filter.GetId() != "" && filter.Id != s.ID || filter.GetState() != nil && filter.State.State != item.State || !matches(item.Labels, filter.GetLabelSelector()) {
			continue
		}
		found = append(found, item)
	}
	return found, nil
}

// matches says whether labels have every pair of a selector.
func matches(labels, selector map[string]string) bool {
	for key, value := range selector {
		if have, ok := labels[key]; !ok || have != value {
			return false
		}
	}
	return true
}

// ContainerStatus implements Runtime.
func (e *Engine) ContainerStatus(_ context.Context, id string) (*cri.ContainerStatus, error) {
	c, err := e.container(id)
	if err != nil {
		return nil, err
	}
	return c.status(), nil
}

func (c *container) status() *cri.ContainerStatus {
	state := c.state()
	c.mu.Lock()
	defer c.mu.Unlock()
	status := &cri.ContainerStatus{
		Id: c.ID, Metadata: c.config.GetMetadata(), State: state, CreatedAt: c.Created, StartedAt: c.started,
		Image: c.config.GetImage(), ImageRef: c.ImageID, ImageId: c.ImageID,
		Labels: c.config.Labels, Annotations: c.config.Annotations, Mounts: c.config.Mounts, LogPath: c.logPath(),
		Resources: &cri.ContainerResources{Linux: c.config.GetLinux().GetResources()}, User: c.user(),
	}
	if c.exit == nil {
		return status
	}
	status.FinishedAt, status.ExitCode = c.exit.At, int32(c.exit.Code)
	status.Reason, status.Message = c.reason(), c.exit.Error
	return status
}

// user is whom the command runs as, once it does. The caller holds mu.
func (c *container) user() *cri.ContainerUser {
	who := c.start.User
	if who == nil {
		return nil
	}
	u := &cri.LinuxContainerUser{Uid: int64(who.UID), Gid: int64(who.GID)}
	for _, g := range who.Groups {
		u.SupplementalGroups = append(u.SupplementalGroups, int64(g))
	}
	return &cri.ContainerUser{Linux: u}
}

// reason names the end. The caller holds mu.
func (c *container) reason() string {
	switch {
	case c.exit.Error != "":
		return reasonStartError
	case c.exit.OOM && c.exit.Code != 0:
		return reasonOOMKilled
	case c.exit.Code == 0:
		return reasonCompleted
	default:
		return reasonError
	}
}

func (c *container) logPath() string {
	if c.config.LogPath == "" {
		return ""
	}
	return c.sandbox.config.LogDirectory + "/" + c.config.LogPath
}

// ListContainers implements Runtime.
func (e *Engine) ListContainers(_ context.Context, filter *cri.ContainerFilter) ([]*cri.Container, error) {
	e.mu.Lock()
	var all []*container
	for _, c := range e.containers {
		all = append(all, c)
	}
	e.mu.Unlock()
	var found []*cri.Container
	for _, c := range all {
		item := &cri.Container{
			Id: c.ID, PodSandboxId: c.sandbox.ID, Metadata: c.config.GetMetadata(), Image: c.config.GetImage(),
			ImageRef: c.ImageID, ImageId: c.ImageID, State: c.state(), CreatedAt: c.Created,
			Labels: c.config.Labels, Annotations: c.config.Annotations,
		}
		if filter.GetId() != "" && filter.Id != c.ID || filter.GetPodSandboxId() != "" && filter.PodSandboxId != c.sandbox.ID ||
			filter.GetState() != nil && filter.State.State != item.State || !matches(item.Labels, filter.GetLabelSelector()) {
			continue
		}
		found = append(found, item)
	}
	return found, nil
}
