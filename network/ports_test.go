package network

import (
	"net"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/network/networktest"
)

func mapping(protocol cri.Protocol, host, container int32, ip string) *cri.PortMapping {
	return &cri.PortMapping{Protocol: protocol, HostPort: host, ContainerPort: container, HostIp: ip}
}

func TestHostPortLeadsToThePodFromEverywhere(t *testing.T) {
	for network, protocol := range map[string]cri.Protocol{"tcp": cri.Protocol_TCP, "udp": cri.Protocol_UDP} {
		t.Run(network, func(t *testing.T) {
			f := start(t)
			outside := networktest.Outside(t, "out0", "198.51.100.1/24", "198.51.100.2/24")
			p := f.pod(mapping(protocol, 9000, 8080, ""))
			other := f.pod()
			networktest.Serve(t, p, network, ":8080", "p")
			for name, c := range map[string]struct {
				from          networktest.Place
				address, seen string
			}{
				"outside":       {outside, "198.51.100.1:9000", "198.51.100.2"},
				"host":          {networktest.Node{T: t}, "192.0.2.10:9000", ""},
				"host loopback": {networktest.Node{T: t}, "127.0.0.1:9000", ""},
				"other pod":     {other, "192.0.2.10:9000", other.addrs[0].String()},
				"itself":        {p, "192.0.2.10:9000", ""},
			} {
				got, err := networktest.Ask(c.from, network, c.address)
				if err != nil || got.Server != "p" {
					t.Errorf("from %s: got %v, %v", name, got, err)
				}
				if c.seen != "" && got.From != c.seen {
					t.Errorf("from %s: pod saw %s, want %s", name, got.From, c.seen)
				}
			}
		})
	}
}

func TestHostPortOfOneAddressLeavesOthersAlone(t *testing.T) {
	f := start(t)
	outside := networktest.Outside(t, "out0", "198.51.100.1/24", "198.51.100.2/24")
	p := f.pod(mapping(cri.Protocol_TCP, 9000, 8080, "198.51.100.1"))
	networktest.Serve(t, p, "tcp", ":8080", "p")
	networktest.MustAsk(t, outside, "tcp", "198.51.100.1:9000")
	if _, err := networktest.AskBriefly(networktest.Node{T: t}, "tcp", "192.0.2.10:9000"); err == nil {
		t.Error("the port answers on an address it was not given")
	}
}

func TestHostPortIsGivenOnce(t *testing.T) {
	f := start(t)
	f.pod(mapping(cri.Protocol_TCP, 9000, 80, ""))
	ns := networktest.New(t)
	config := &cri.PodSandboxConfig{PortMappings: []*cri.PortMapping{mapping(cri.Protocol_TCP, 9000, 80, "192.0.2.10")}}
	_, err := f.Attach(f.limit(), "second", ns.Path(), config)
	if err == nil || !strings.Contains(err.Error(), "host port 192.0.2.10:9000/TCP is taken by pod default/sandbox1") {
		t.Errorf("got %v", err)
	}
	f.pod(mapping(cri.Protocol_UDP, 9000, 80, ""))
}

func TestHostPortEndsWithDetach(t *testing.T) {
	f := start(t)
	p := f.pod(mapping(cri.Protocol_UDP, 9000, 8080, ""))
	networktest.Serve(t, p, "udp", ":8080", "old")
	conn, err := net.Dial("udp", "192.0.2.10:9000")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if a, err := networktest.On(conn, networktest.Patience); err != nil || a.Server != "old" {
		t.Fatalf("got %v, %v", a, err)
	}
	if err := f.Detach(f.limit(), p.id); err != nil {
		t.Fatal(err)
	}
	next := f.pod(mapping(cri.Protocol_UDP, 9000, 8080, ""))
	networktest.Serve(t, next, "udp", ":8080", "new")
	if a, err := networktest.On(conn, networktest.Patience); err != nil || a.Server != "new" {
		t.Errorf("the same socket then reaches %v, %v; want the new pod", a, err)
	}
}

func TestPodCannotUseTheHostsLoopback(t *testing.T) {
	f := start(t)
	p := f.pod()
	networktest.Serve(t, networktest.Node{T: t}, "udp", "127.0.0.1:7000", "host")
	p.Do(func() error {
		if err := setSysctl("net/ipv4/conf/all/route_localnet", "1"); err != nil {
			return err
		}
		return loopbackVia(podLink)
	})
	if a, err := networktest.AskBriefly(p, "udp", "127.0.0.1:7000"); err == nil {
		t.Errorf("the host's loopback answered a pod: %v", a)
	}
}
