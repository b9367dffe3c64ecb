package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/engine/networks"
)

const bridgeName = networks.Bridge

// Networks are the bridge networks of this engine.
func (s *Service) Networks() *networks.Networks {
	return networks.New(networks.Config{
		Dir: filepath.Join(s.config.Dir, "networks"), StateDir: filepath.Join(s.config.StateDir, "networks"), Name: s.config.LinkName,
	})
}

// network connects sandboxes of containers as their records say.
func (s *Service) network() container.Network { return attacher{s} }

type attacher struct{ service *Service }

// Attach implements container.Network; the sandbox's uid is the container's id.
func (a attacher) Attach(_ context.Context, sandbox, netns string, config *cri.PodSandboxConfig) ([]netip.Addr, error) {
	s := a.service
	c, err := s.load(config.GetMetadata().GetUid())
	if err != nil {
		return nil, err
	}
	if !c.onBridges() {
		return nil, nil
	}
	var wants []networks.Want
	for _, e := range c.endpoints() {
		wants = append(wants, networks.Want{Network: e.Network, IP: e.IP, IP6: e.IP6, MAC: e.MAC})
	}
	var ports []networks.Port
	for _, p := range c.State.Ports {
		ports = append(ports, networks.Port{Protocol: p.Protocol, HostIP: p.HostIP, Host: p.Host, To: p.Container})
	}
	m, err := s.Networks().Join(c.ID, c.Name, sandbox, netns, wants, ports)
	if err != nil {
		return nil, err
	}
	if err := s.takePlaces(c, m); err != nil {
		return nil, err
	}
	var addresses []netip.Addr
	for _, p := range m.Places {
		addresses = append(addresses, p.IP)
		if p.IP6.IsValid() {
			addresses = append(addresses, p.IP6)
		}
	}
	return addresses, s.save(c)
}

// Detach implements container.Network.
func (a attacher) Detach(_ context.Context, sandbox string) error {
	return a.service.Networks().Leave(sandbox)
}

// takePlaces puts a container's places in networks into its record.
func (s *Service) takePlaces(c *Container, m *networks.Member) error {
	c.State.Networks = nil
	for _, p := range m.Places {
		w, err := s.Networks().Get(p.Network)
		if err != nil {
			return err
		}
		at := Attachment{Network: w.Name, ID: w.ID, IP: netip.PrefixFrom(p.IP, w.Subnet.Bits()), Gateway: w.Gateway, MAC: p.MAC}
		if p.IP6.IsValid() {
			at.IP6, at.Gateway6 = netip.PrefixFrom(p.IP6, w.Subnet6.Bits()), w.Gateway6
		}
		for _, e := range c.endpoints() {
			if e.Network == w.Name || e.Network == w.ID {
				at.Aliases = e.Aliases
			}
		}
		c.State.Networks = append(c.State.Networks, at)
	}
	return nil
}

// onBridges says whether a container has places in networks at all.
func (c *Container) onBridges() bool { return c.Spec.NetworkMode != "none" && !c.hostNetwork() }

// endpoints are the networks that a container joins when it starts.
func (c *Container) endpoints() []Endpoint {
	if len(c.Spec.Networks) == 0 && c.onBridges() && !c.Spec.Unconnected {
		return []Endpoint{{Network: bridgeName}}
	}
	return c.Spec.Networks
}

// checkNetworks makes sure that they exist, and that what is asked of them can be had.
func (s *Service) checkNetworks(c *Container) error {
	if !c.onBridges() {
		if ref, ok := strings.CutPrefix(c.Spec.NetworkMode, "container:"); ok {
			other, err := s.Find(ref)
			if err != nil {
				return err
			}
			c.Spec.NetworkMode = "container:" + other.ID
		}
		return nil
	}
	for _, e := range c.endpoints() {
		w, err := s.Networks().Get(e.Network)
		if err != nil {
			return err
		}
		if w.Name != bridgeName {
			continue
		}
		if len(e.Aliases) > 0 {
			return errors.New("network-scoped aliases are only supported for user-defined networks")
		}
		if e.IP.IsValid() || e.IP6.IsValid() {
			return errors.New("user specified IP address is supported on user defined networks only")
		}
	}
	return nil
}

// disconnected forgets the places of a container that has ended; the neighbours forget its name.
func (s *Service) disconnected(c *Container) error {
	if len(c.State.Networks) == 0 {
		return nil
	}
	c.State.Networks = nil
	if err := s.save(c); err != nil {
		return err
	}
	return s.refreshNames(c)
}

// Connect joins a container to a network: at once if it runs, and whenever it starts.
func (s *Service) Connect(ctx context.Context, ref string, e Endpoint) error {
	w, err := s.Networks().Get(e.Network)
	if err != nil {
		return err
	}
	e.Network = w.Name
	found, err := s.Get(ctx, ref)
	if err != nil {
		return err
	}
	c, unlock, err := s.lockContainer(found.ID)
	if err != nil {
		return err
	}
	defer unlock()
	if !c.onBridges() {
		return conflict("container %s has network mode %s: it cannot be connected to another network", c.Name, c.Spec.NetworkMode)
	}
	c.Spec.Networks = slices.Clone(c.endpoints())
	if slices.ContainsFunc(c.Spec.Networks, func(o Endpoint) bool { return o.Network == w.Name }) {
		return conflict("endpoint with name %s already exists in network %s", c.Name, w.Name)
	}
	before, err := s.resolvConf(c)
	if err != nil {
		return err
	}
	c.Spec.Networks, c.Spec.Unconnected = append(c.Spec.Networks, e), false
	if pid := s.PID(c); found.Alive() && pid != 0 {
		if err := s.answerNamesNow(ctx, c, before); err != nil {
			return err
		}
		m, err := s.Networks().Join(c.ID, c.Name, c.State.Sandbox, fmt.Sprintf("/proc/%d/ns/net", pid),
			[]networks.Want{{Network: w.ID, IP: e.IP, IP6: e.IP6, MAC: e.MAC}}, nil)
		if err != nil {
			return err
		}
		if err := s.takePlaces(c, m); err != nil {
			return err
		}
	}
	if err := s.save(c); err != nil {
		return err
	}
	s.emit("network", "connect", w.ID, map[string]string{"container": c.ID, "name": w.Name, "type": "bridge"})
	return s.refreshNames(c)
}

// Disconnect takes a container out of a network.
func (s *Service) Disconnect(ctx context.Context, ref, network string) error {
	w, err := s.Networks().Get(network)
	if err != nil {
		return err
	}
	c, unlock, err := s.held(ctx, ref)
	if err != nil {
		return err
	}
	defer unlock()
	here := func(e Endpoint) bool { return e.Network == w.Name || e.Network == w.ID }
	if !slices.ContainsFunc(c.endpoints(), here) {
		return conflict("container %s is not connected to network %s", c.ID, w.Name)
	}
	c.Spec.Networks = slices.DeleteFunc(slices.Clone(c.endpoints()), here)
	c.Spec.Unconnected = len(c.Spec.Networks) == 0
	if err := s.Networks().Disconnect(c.ID, w.ID, fmt.Sprintf("/proc/%d/ns/net", s.PID(c))); err != nil {
		return err
	}
	c.State.Networks = slices.DeleteFunc(c.State.Networks, func(a Attachment) bool { return a.ID == w.ID })
	if err := s.save(c); err != nil {
		return err
	}
	s.emit("network", "disconnect", w.ID, map[string]string{"container": c.ID, "name": w.Name, "type": "bridge"})
	return s.refreshNames(c)
}
