package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/cgroups"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// UpdatePodSandboxResources changes the limits of a pod's own group, in which its containers' are.
func (e *Engine) UpdatePodSandboxResources(_ context.Context, id string, r *cri.LinuxContainerResources) error {
	s, err := e.sandbox(id)
	if err != nil {
		return err
	}
	if r == nil {
		return errors.New("update the pod's resources: none are given")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Stopped {
		return fmt.Errorf("update resources of sandbox %s: it has stopped", id)
	}
	wanted := criLimits(r, true, nil)
	wanted.SkipDevices = true
	m, err := groupManager(s.Cgroup, &cgroups.Resources{SkipDevices: true})
	if err == nil {
		err = m.Set(wanted)
	}
	if err != nil {
		return fmt.Errorf("update resources of sandbox %s: %w", id, err)
	}
	config := proto.Clone(s.config).(*cri.PodSandboxConfig) // others read the old one
	if config.Linux == nil {
		config.Linux = &cri.LinuxPodSandboxConfig{}
	}
	config.Linux.Resources = r
	s.config = config
	return s.save()
}
