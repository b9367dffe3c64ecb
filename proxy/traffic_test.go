package proxy

import (
	"errors"
	"net"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"dhow/network/networktest"
)

func TestClusterIPIsSpreadOverAllEndpoints(t *testing.T) {
	f := start(t)
	backends, client := f.pods(3), f.pod()
	f.create(service(), slice(backends...))
	for _, network := range []string{"tcp", "udp"} {
		for name, from := range map[string]networktest.Place{"pod": client, "host": networktest.Node{T: t}} {
			count := spread(t, from, network, clusterIP+":80", 90)
			for _, b := range backends {
				if count[b.name] < 10 {
					t.Errorf("%s from %s: %v, want about 30 each", network, name, count)
				}
			}
		}
	}
}

func TestPodKeepsItsAddressTowardsAService(t *testing.T) {
	f := start(t)
	backend, client := f.pod(), f.pod()
	f.create(service(), slice(backend))
	if got := networktest.MustAsk(t, client, "tcp", clusterIP+":80"); got.From != client.addrs[0].String() {
		t.Errorf("endpoint saw %s, want %s", got.From, client.addrs[0])
	}
	if got := networktest.MustAsk(t, networktest.Node{T: t}, "tcp", clusterIP+":80"); got.From != "10.42.0.1" {
		t.Errorf("endpoint saw %s of the host, want 10.42.0.1", got.From)
	}
}

func TestEndpointReachesItselfThroughItsService(t *testing.T) {
	f := start(t)
	p := f.pod()
	f.create(service(withNodePort), slice(p))
	for _, network := range []string{"tcp", "udp"} {
		for _, address := range []string{clusterIP + ":80", "192.0.2.10:30080"} {
			if got := networktest.MustAsk(t, p, network, address); got.Server != p.name {
				t.Errorf("%s %s: got %v", network, address, got)
			}
		}
	}
}

func TestEndpointOnTheHostsNetworkIsReached(t *testing.T) {
	f := start(t)
	client := f.pod()
	networktest.Serve(t, networktest.Node{T: t}, "tcp", "192.0.2.10:8080", "host")
	s := slice()
	s.Endpoints = []discoveryv1.Endpoint{ready("192.0.2.10")}
	f.create(service(), s)
	networktest.MustAsk(t, client, "tcp", clusterIP+":80")
	networktest.MustAsk(t, networktest.Node{T: t}, "tcp", clusterIP+":80")
}

func TestNodePortAnswersFromEverywhere(t *testing.T) {
	f := start(t)
	outside := networktest.Outside(t, "out0", "198.51.100.1/24", "198.51.100.2/24")
	backends, client := f.pods(2), f.pod()
	f.create(service(withNodePort), slice(backends...))
	for _, network := range []string{"tcp", "udp"} {
		for name, c := range map[string]struct {
			from    networktest.Place
			address string
		}{
			"outside":          {outside, "198.51.100.1:30080"},
			"host":             {networktest.Node{T: t}, "192.0.2.10:30080"},
			"host by loopback": {networktest.Node{T: t}, "127.0.0.1:30080"},
			"pod":              {client, "192.0.2.10:30080"},
			"pod by gateway":   {client, "10.42.0.1:30080"},
		} {
			a, err := networktest.Ask(c.from, network, c.address)
			if err != nil {
				t.Errorf("%s from %s: %v", network, name, err)
			}
			if name == "outside" && a.From == "198.51.100.2" {
				t.Errorf("%s: the endpoint, which could be on another node, saw %s itself", network, a.From)
			}
		}
	}
}

func TestNodePortLeavesOtherPortsAndHostsAlone(t *testing.T) {
	f := start(t)
	outside := networktest.Outside(t, "out0", "198.51.100.1/24", "198.51.100.2/24")
	backend, client := f.pod(), f.pod()
	networktest.Serve(t, outside, "tcp", ":30080", "outside")
	networktest.Serve(t, networktest.Node{T: t}, "tcp", "192.0.2.10:30081", "host")
	f.create(service(withNodePort), slice(backend))
	if got := networktest.MustAsk(t, client, "tcp", "198.51.100.2:30080"); got.Server != "outside" {
		t.Errorf("got %v", got)
	}
	if got := networktest.MustAsk(t, client, "tcp", "192.0.2.10:30081"); got.Server != "host" {
		t.Errorf("got %v", got)
	}
}

func TestExternalAndBalancerAddressesLeadToEndpoints(t *testing.T) {
	f := start(t)
	outside := networktest.Outside(t, "out0", "198.51.100.1/24", "198.51.100.2/24")
	outside.RouteVia("198.51.100.1")
	backend, client := f.pod(), f.pod()
	f.create(service(withBalancer), slice(backend))
	for _, address := range []string{"203.0.113.5:80", "203.0.113.6:80"} {
		for _, from := range []networktest.Place{outside, client, networktest.Node{T: t}} {
			if _, err := networktest.Ask(from, "tcp", address); err != nil {
				t.Errorf("%s: %v", address, err)
			}
		}
	}
}

func TestBalancerTakesOnlyItsSourceRanges(t *testing.T) {
	f := start(t)
	outside := networktest.Outside(t, "out0", "198.51.100.1/24", "198.51.100.2/24")
	outside.RouteVia("198.51.100.1")
	backend, client := f.pod(), f.pod()
	f.create(service(withBalancer, func(s *corev1.Service) {
		s.Spec.LoadBalancerSourceRanges = []string{"10.42.0.0/16", "10.42.7.0/24", "192.0.2.0/24"}
	}), slice(backend))
	networktest.MustAsk(t, client, "tcp", "203.0.113.6:80")
	networktest.MustAsk(t, outside, "tcp", "203.0.113.5:80")
	if a, err := networktest.AskBriefly(outside, "tcp", "203.0.113.6:80"); err == nil {
		t.Errorf("a client outside the ranges got %v", a)
	}
}

func TestServiceWithoutEndpointsRefusesAtOnce(t *testing.T) {
	f := start(t)
	client := f.pod()
	f.create(service(withNodePort))
	for _, from := range []networktest.Place{client, networktest.Node{T: t}} {
		for _, network := range []string{"tcp", "udp"} {
			for _, address := range []string{clusterIP + ":80", "192.0.2.10:30080"} {
				if _, err := networktest.Ask(from, network, address); !refused(err) {
					t.Errorf("%s %s: got %v, want connection refused", network, address, err)
				}
			}
		}
	}
}

func TestOtherPortOfAClusterIPRefuses(t *testing.T) {
	f := start(t)
	backend, client := f.pod(), f.pod()
	f.create(service(), slice(backend))
	if _, err := networktest.Ask(client, "tcp", clusterIP+":81"); !refused(err) {
		t.Errorf("got %v, want connection refused", err)
	}
	if _, err := networktest.AskBriefly(client, "tcp", "10.43.7.7:80"); !timedOut(err) {
		t.Errorf("address of no Service: got %v, want silence", err)
	}
}

func TestAffinityKeepsAClientAtItsEndpoint(t *testing.T) {
	f := start(t)
	backends, client := f.pods(4), f.pod()
	f.create(service(withAffinity(60), withNodePort), slice(backends...))
	first := networktest.MustAsk(t, client, "tcp", clusterIP+":80").Server
	if count := spread(t, client, "tcp", clusterIP+":80", 30); count[first] != 30 {
		t.Errorf("client of %s got %v", first, count)
	}
	clients := map[string]int{}
	for range 12 {
		clients[networktest.MustAsk(t, f.pod(), "tcp", clusterIP+":80").Server]++
	}
	if len(clients) < 2 {
		t.Errorf("all clients are with %v", clients)
	}
}

func TestAffinityEndsWithTheEndpoint(t *testing.T) {
	f := start(t)
	backends, client := f.pods(3), f.pod()
	f.create(service(withAffinity(60)), slice(backends...))
	first := networktest.MustAsk(t, client, "tcp", clusterIP+":80").Server
	var rest []pod
	for _, b := range backends {
		if b.name != first {
			rest = append(rest, b)
		}
	}
	f.update(slice(rest...))
	second := networktest.MustAsk(t, client, "tcp", clusterIP+":80").Server
	if second == first {
		t.Fatalf("client still reaches %s", first)
	}
	if count := spread(t, client, "tcp", clusterIP+":80", 20); count[second] != 20 {
		t.Errorf("then the client of %s got %v", second, count)
	}
}

func TestAffinityEndsWithItsTime(t *testing.T) {
	f := start(t)
	backends, client := f.pods(4), f.pod()
	f.create(service(withAffinity(1)), slice(backends...))
	first := networktest.MustAsk(t, client, "tcp", clusterIP+":80").Server
	// A client that comes back too soon stays longer, so every try is by another one that has been away.
	others := f.pods(8)
	before := map[string]string{}
	for _, o := range others {
		before[o.name] = networktest.MustAsk(t, o, "tcp", clusterIP+":80").Server
	}
	eventually(t, "the kernel has forgotten the clients", func() bool { return learned(t) == 0 })
	moved := networktest.MustAsk(t, client, "tcp", clusterIP+":80").Server != first
	for _, o := range others {
		moved = moved || networktest.MustAsk(t, o, "tcp", clusterIP+":80").Server != before[o.name]
	}
	if !moved {
		t.Error("no client moved")
	}
}

func TestLocalExternalTrafficKeepsTheClientsAddress(t *testing.T) {
	f := start(t)
	outside := networktest.Outside(t, "out0", "198.51.100.1/24", "198.51.100.2/24")
	here, away, client := f.pod(), f.pod(), f.pod()
	s := slice(here, away)
	other := "node2"
	s.Endpoints[1].NodeName = &other
	f.create(service(withNodePort, withLocalTraffic), s)
	for range 20 {
		got := networktest.MustAsk(t, outside, "tcp", "198.51.100.1:30080")
		if want := (networktest.Answer{Server: here.name, From: "198.51.100.2"}); got != want {
			t.Fatalf("from outside: got %v, want %v", got, want)
		}
	}
	for name, from := range map[string]networktest.Place{"pod": client, "host": networktest.Node{T: t}} {
		if count := spread(t, from, "tcp", "192.0.2.10:30080", 40); len(count) != 2 {
			t.Errorf("from %s: %v, want both", name, count)
		}
	}
}

func TestLocalExternalTrafficWithoutLocalEndpointsIsDropped(t *testing.T) {
	f := start(t)
	outside := networktest.Outside(t, "out0", "198.51.100.1/24", "198.51.100.2/24")
	away, client := f.pod(), f.pod()
	s := slice(away)
	other := "node2"
	s.Endpoints[0].NodeName = &other
	f.create(service(withNodePort, withLocalTraffic), s)
	if a, err := networktest.AskBriefly(outside, "tcp", "198.51.100.1:30080"); !timedOut(err) {
		t.Errorf("from outside: got %v, %v, want silence", a, err)
	}
	networktest.MustAsk(t, client, "tcp", "192.0.2.10:30080")
}

func TestLocalInternalTrafficStaysOnTheNode(t *testing.T) {
	f := start(t)
	here, away, client := f.pod(), f.pod(), f.pod()
	s := slice(here, away)
	other := "node2"
	s.Endpoints[1].NodeName = &other
	f.create(service(withLocalInternalTraffic), s)
	if count := spread(t, client, "tcp", clusterIP+":80", 20); count[here.name] != 20 {
		t.Errorf("got %v, want only %s", count, here.name)
	}
}

func TestDualStackServiceAnswersInBothFamilies(t *testing.T) {
	f := start(t)
	backend, client := f.pod(), f.pod()
	six := emptySlice("web", discoveryv1.AddressTypeIPv6)
	six.Endpoints = []discoveryv1.Endpoint{ready(backend.addrs[1].String())}
	f.create(service(withNodePort, withAffinity(60), func(s *corev1.Service) {
		s.Spec.ClusterIPs = []string{clusterIP, "fd43::50"}
	}), slice(backend), six)
	networktest.MustAsk(t, client, "tcp", clusterIP+":80")
	for _, address := range []string{"[fd43::50]:80", "[fd42::1]:30080"} {
		for range 3 {
			networktest.MustAsk(t, client, "tcp", address)
			networktest.MustAsk(t, backend, "tcp", address)
			networktest.MustAsk(t, networktest.Node{T: t}, "tcp", address)
		}
	}
	if _, err := networktest.Ask(client, "tcp", "[fd43::50]:81"); !refused(err) {
		t.Errorf("other port: got %v, want connection refused", err)
	}
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// refused: the sender of a UDP packet on the host itself is told EPERM, which is how Linux says that an output
// chain refused it.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EPERM)
}
