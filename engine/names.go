package engine

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dhow/container"
	"dhow/engine/networks"
)

// DNSNames are what a container is called by those who share a network with it.
func (c *Container) DNSNames(at Attachment) []string {
	names := append([]string{c.Name, c.ID[:12]}, at.Aliases...)
	if h := c.Spec.Hostname; h != "" && !slices.Contains(names, h) {
		names = append(names, h)
	}
	return names
}

// asksNames says whether a container has a DNS server of its own: on networks that users made, as with docker.
func (s *Service) asksNames(c *Container) (bool, error) {
	if !c.onBridges() {
		return false, nil
	}
	for _, e := range c.endpoints() {
		w, err := s.Networks().Get(e.Network)
		if err != nil || w.Name != bridgeName {
			return err == nil, err
		}
	}
	return false, nil
}

// answerNames makes a container's sandbox answer for names, if the container is to have that.
func (s *Service) answerNames(ctx context.Context, runtime *container.Engine, c *Container) error {
	asks, err := s.asksNames(c)
	if err != nil || !asks {
		return err
	}
	hosts := filepath.Join(s.dir(c.ID), containerFiles["/etc/hosts"])
	r := c.resolver()
	server, err := runtime.Resolve(ctx, c.State.Sandbox, hosts, r.Servers, r.Machine)
	if err != nil {
		return err
	}
	return networks.LeadToResolver(server.NetworkNamespace, server.Port)
}

// resolver is what the user says, and what the machine has where he is silent.
func (c *Container) resolver() Resolver {
	r := Resolver{Servers: c.Spec.DNS, Search: c.Spec.DNSSearch, Options: c.Spec.DNSOptions}
	machine := MachineResolver(c.Spec.NetworkMode == "host")
	if len(r.Servers) == 0 {
		r.Servers, r.Machine = machine.Servers, machine.Machine
	}
	if len(r.Search) == 0 {
		r.Search = machine.Search
	}
	if len(r.Options) == 0 {
		r.Options = machine.Options
	}
	return r
}

// resolvConf is a container's /etc/resolv.conf.
func (s *Service) resolvConf(c *Container) (string, error) {
	asks, err := s.asksNames(c)
	r := c.resolver()
	if asks {
		r.Servers = []string{networks.Resolver.String()}
		if !slices.ContainsFunc(r.Options, func(o string) bool { return strings.HasPrefix(o, "ndots:") }) {
			r.Options = append(slices.Clone(r.Options), "ndots:0")
		}
	}
	return r.text(), err
}

// namesOf is the container whose names a container goes by: its own, or those of who has its network.
func (s *Service) namesOf(c *Container) (*Container, error) {
	for {
		id, shared := strings.CutPrefix(c.Spec.NetworkMode, "container:")
		if !shared {
			return c, nil
		}
		var err error
		if c, err = s.load(id); err != nil {
			return nil, err
		}
	}
}

// answerNamesNow is answerNames for a container that runs. Its /etc/resolv.conf follows, if it is as it was made.
func (s *Service) answerNamesNow(ctx context.Context, c *Container, made string) error {
	runtime, err := s.runtime()
	if err != nil {
		return err
	}
	if err := s.answerNames(ctx, runtime, c); err != nil {
		return err
	}
	file := s.Files(c)["/etc/resolv.conf"]
	if now, err := os.ReadFile(file); err != nil || string(now) != made {
		return err
	}
	text, err := s.resolvConf(c)
	if err != nil {
		return err
	}
	return writeInPlace(file, text)
}
