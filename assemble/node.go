//go:build !nocluster

package assemble

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"

	"dhow/container"
	"dhow/dns"
	"dhow/image"
	"dhow/lifecycle"
	"dhow/network"
	"dhow/node"
	"dhow/proxy"
)

// buildNode adds what makes this machine a node: images, the pod network, containers, the service proxy, names, and
// the agent that runs pods.
func (s *server) buildNode() error {
	c := s.config
	images, err := image.New(image.Config{Dir: c.Images, RegistriesFile: c.RegistriesFile, Log: c.Log})
	if err != nil {
		return err
	}
	pods, err := network.New(c.network())
	if err != nil {
		return err
	}
	s.add(lifecycle.Part{Name: "pod network", Run: pods.Run, Ready: pods.Ready})
	runtime, store, err := s.buildRuntime(images, pods)
	if err != nil {
		return err
	}
	services, err := proxy.New(c.proxy(s.api.Informers()))
	if err != nil {
		return err
	}
	s.add(lifecycle.Part{Name: "service proxy", Run: services.Run, Ready: services.Ready})
	if err := s.buildAgent(runtime, store, pods); err != nil {
		return err
	}
	return s.buildDNS(pods)
}

func (s *server) buildAgent(runtime container.Runtime, images image.Service, pods *network.Network) error {
	c := s.config
	client, err := s.api.Client("system:node:"+c.NodeName, "system:nodes")
	if err != nil {
		return err
	}
	serving, err := s.nodeTLS()
	if err != nil {
		return err
	}
	agent, err := node.New(node.Config{
		Name: c.NodeName, Client: client, Informers: s.api.Informers(), Runtime: runtime, Images: images,
		SetPodCIDRs: pods.SetPodCIDRs, NodeIPs: []netip.Addr{c.NodeIP}, ClusterDNS: c.ClusterDNS, ClusterDomain: c.ClusterDomain,
		Volumes: c.Volumes, Logs: c.PodLogs, Manifests: c.Manifests, Listener: s.kubelet, TLS: serving,
		Labels: c.NodeLabels, Taints: c.NodeTaints, MaxPods: c.MaxPods, Log: c.Log,
	})
	if err != nil {
		return err
	}
	s.add(lifecycle.Part{Name: "node " + c.NodeName, Run: agent.Run, Ready: agent.Ready})
	return nil
}

// nodeTLS serves the node's own API. A caller's certificate is looked at where it is shown: health needs none.
func (s *server) nodeTLS() (*tls.Config, error) {
	c := s.config
	cert, key, err := s.identity.Serving("kubelet", "system:node:"+c.NodeName, []string{c.NodeName, c.NodeIP.String(), "localhost", "127.0.0.1"})
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	callers := x509.NewCertPool()
	callers.AddCert(s.identity.CA.Cert)
	return &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: callers, ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS12}, nil
}

// dnsPort is where every resolver asks.
const dnsPort = 53

func (s *server) buildDNS(pods *network.Network) error {
	c := s.config
	client, err := s.api.Client("system:coredns")
	if err != nil {
		return err
	}
	names, err := dns.New(dns.Config{
		Client: client, Informers: s.api.Informers(), NodeName: c.NodeName, Domain: c.ClusterDomain,
		ClusterIPs: []netip.Addr{c.ClusterDNS}, Log: c.Log,
		Listen: func(ctx context.Context) ([]netip.AddrPort, error) {
			addresses, err := pods.NodeAddresses(ctx)
			var all []netip.AddrPort
			for _, a := range addresses {
				all = append(all, netip.AddrPortFrom(a, dnsPort))
			}
			return all, err
		},
	})
	if err != nil {
		return err
	}
	s.add(lifecycle.Part{Name: "names", Run: names.Run, Ready: names.Ready})
	return nil
}
