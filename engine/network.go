package engine

import (
	"context"
	"net/netip"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
)

const bridgeName = "bridge"

func (s *Service) network() container.Network { return attacher{s} }

type attacher struct{ service *Service }

func (attacher) Attach(context.Context, string, string, *cri.PodSandboxConfig) ([]netip.Addr, error) {
	return nil, nil
}
func (attacher) Detach(context.Context, string) error { return nil }

func (s *Service) checkNetworks(*Container) error                { return nil }
func (s *Service) choosePorts(context.Context, *Container) error { return nil }
func (s *Service) disconnected(c *Container) error {
	c.State.Networks = nil
	return s.refreshNames(c)
}
