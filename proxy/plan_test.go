package proxy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"dhow/network/nft"
)

// describe writes a plan as sorted lines.
func describe(p *plan) string {
	var lines []string
	for at, to := range p.frontends {
		line := fmt.Sprintf("%s → %s of %v", front(at), policyOf(to.pool), p.pools[to.pool])
		if to.masquerade != never {
			line += " " + [...]string{outside: "hide outside", ownHost: "hide host", always: "hide"}[to.masquerade]
		}
		if to.affinity > 0 {
			line += " stick " + to.affinity.String()
		}
		lines = append(lines, line)
	}
	for at, how := range p.refused {
		lines = append(lines, fmt.Sprintf("%s %s", front(at), how))
	}
	for at, ranges := range p.sources {
		lines = append(lines, fmt.Sprintf("%s only from %v", front(at), ranges))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func front(at frontend) string {
	name := map[byte]string{nft.TCP: "tcp", nft.UDP: "udp", nft.SCTP: "sctp"}[at.protocol]
	text := fmt.Sprintf("%s:%d/%s", at.addr, at.port, name)
	if at.addr.IsUnspecified() {
		text = fmt.Sprintf("node:%d/%s", at.port, name)
	}
	if at.inside {
		text += " inside"
	}
	return text
}

func policyOf(pool string) string { return pool[strings.LastIndex(pool, "/")+1:] }

func tcpOnly(s *corev1.Service) { s.Spec.Ports = s.Spec.Ports[:1] }

// at makes endpoints on this node (a…), on another (b…), and changes their state by a suffix: ! terminating but
// serving, - not ready.
func at(list ...string) *discoveryv1.EndpointSlice {
	s := emptySlice("web", discoveryv1.AddressTypeIPv4)
	for _, text := range list {
		e := ready("10.42." + strings.Trim(text, "ab!-"))
		if strings.HasPrefix(text, "b") {
			other := "node2"
			e.NodeName = &other
		}
		no, yes := false, true
		switch {
		case strings.HasSuffix(text, "!"):
			e.Conditions = discoveryv1.EndpointConditions{Ready: &no, Serving: &yes, Terminating: &yes}
		case strings.HasSuffix(text, "-"):
			e.Conditions = discoveryv1.EndpointConditions{Ready: &no, Serving: &no}
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

func hintZone(s *discoveryv1.EndpointSlice, zones ...string) *discoveryv1.EndpointSlice {
	for i, z := range zones {
		if z != "" {
			s.Endpoints[i].Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: z}}}
		}
	}
	return s
}

func TestPlan(t *testing.T) {
	type edits = []func(*corev1.Service)
	for name, c := range map[string]struct {
		edits edits
		slice *discoveryv1.EndpointSlice
		node  node
		want  string
	}{
		"cluster IP": {edits{tcpOnly}, at("a0.2", "b1.2"), node{},
			"10.43.0.50:80/tcp → cluster of [10.42.0.2:8080 10.42.1.2:8080] hide outside"},
		"two protocols": {nil, at("a0.2"), node{},
			"10.43.0.50:80/tcp → cluster of [10.42.0.2:8080] hide outside\n" +
				"10.43.0.50:80/udp → cluster of [10.42.0.2:8080] hide outside"},
		"affinity": {edits{tcpOnly, withAffinity(30)}, at("a0.2"), node{},
			"10.43.0.50:80/tcp → cluster of [10.42.0.2:8080] hide outside stick 30s"},
		"affinity's default": {edits{tcpOnly, func(s *corev1.Service) { s.Spec.SessionAffinity = "ClientIP" }}, at("a0.2"), node{},
			"10.43.0.50:80/tcp → cluster of [10.42.0.2:8080] hide outside stick 3h0m0s"},
		"no endpoints":       {edits{tcpOnly}, at(), node{}, "10.43.0.50:80/tcp reject"},
		"none ready":         {edits{tcpOnly}, at("a0.2-"), node{}, "10.43.0.50:80/tcp reject"},
		"ready before dying": {edits{tcpOnly}, at("a0.2", "b1.2!"), node{}, "10.43.0.50:80/tcp → cluster of [10.42.0.2:8080] hide outside"},
		"dying if none ready": {edits{tcpOnly}, at("a0.2-", "b1.2!"), node{},
			"10.43.0.50:80/tcp → cluster of [10.42.1.2:8080] hide outside"},
		"internal local": {edits{tcpOnly, withLocalInternalTraffic}, at("a0.2", "b1.2"), node{},
			"10.43.0.50:80/tcp → local of [10.42.0.2:8080] hide outside"},
		"internal local, none here": {edits{tcpOnly, withLocalInternalTraffic}, at("b1.2"), node{}, "10.43.0.50:80/tcp drop"},
		"internal local, none":      {edits{tcpOnly, withLocalInternalTraffic}, at(), node{}, "10.43.0.50:80/tcp reject"},
		"node port": {edits{tcpOnly, withNodePort}, at("a0.2"), node{},
			"10.43.0.50:80/tcp → cluster of [10.42.0.2:8080] hide outside\n" +
				"node:30080/tcp → cluster of [10.42.0.2:8080] hide"},
		"node port at loopback leads to this node": {edits{tcpOnly, withNodePort}, at("a0.2", "b1.2"), node{loopback: true},
			"10.43.0.50:80/tcp → cluster of [10.42.0.2:8080 10.42.1.2:8080] hide outside\n" +
				"127.0.0.1:30080/tcp → local of [10.42.0.2:8080] hide\n" +
				"node:30080/tcp → cluster of [10.42.0.2:8080 10.42.1.2:8080] hide"},
		"node port without endpoints": {edits{tcpOnly, withNodePort}, at(), node{loopback: true},
			"10.43.0.50:80/tcp reject\nnode:30080/tcp reject"},
		"external local": {edits{tcpOnly, withNodePort, withLocalTraffic}, at("a0.2", "b1.2"), node{},
			"10.43.0.50:80/tcp → cluster of [10.42.0.2:8080 10.42.1.2:8080] hide outside\n" +
				"node:30080/tcp inside → cluster of [10.42.0.2:8080 10.42.1.2:8080] hide host\n" +
				"node:30080/tcp → local of [10.42.0.2:8080]"},
		"external local, none here": {edits{tcpOnly, withNodePort, withLocalTraffic}, at("b1.2"), node{},
			"10.43.0.50:80/tcp → cluster of [10.42.1.2:8080] hide outside\n" +
				"node:30080/tcp drop\n" +
				"node:30080/tcp inside → cluster of [10.42.1.2:8080] hide host"},
		"external local, dying here": {edits{tcpOnly, withNodePort, withLocalTraffic}, at("a0.2!", "b1.2"), node{},
			"10.43.0.50:80/tcp → cluster of [10.42.1.2:8080] hide outside\n" +
				"node:30080/tcp inside → cluster of [10.42.1.2:8080] hide host\n" +
				"node:30080/tcp → local of [10.42.0.2:8080]"},
		"balancer": {edits{tcpOnly, withBalancer, func(s *corev1.Service) {
			proxied := corev1.LoadBalancerIPModeProxy
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress,
				corev1.LoadBalancerIngress{IP: "203.0.113.7", IPMode: &proxied}, corev1.LoadBalancerIngress{Hostname: "lb"})
			s.Spec.LoadBalancerSourceRanges = []string{"198.51.100.0/24", "2001:db8::/32"}
		}}, at("a0.2"), node{},
			"10.43.0.50:80/tcp → cluster of [10.42.0.2:8080] hide outside\n" +
				"203.0.113.5:80/tcp → cluster of [10.42.0.2:8080] hide\n" +
				"203.0.113.6:80/tcp only from [198.51.100.0/24]\n" +
				"203.0.113.6:80/tcp → cluster of [10.42.0.2:8080] hide\n" +
				"node:30080/tcp → cluster of [10.42.0.2:8080] hide"},
		"near endpoints": {edits{tcpOnly}, hintZone(at("b0.2", "b1.2"), "here", "there"), node{zone: "here"},
			"10.43.0.50:80/tcp → cluster of [10.42.0.2:8080] hide outside"},
		"hints for all or none": {edits{tcpOnly}, hintZone(at("b0.2", "b1.2"), "here"), node{zone: "here"},
			"10.43.0.50:80/tcp → cluster of [10.42.0.2:8080 10.42.1.2:8080] hide outside"},
		"hints without one for here": {edits{tcpOnly}, hintZone(at("b0.2", "b1.2"), "x", "there"), node{zone: "here"},
			"10.43.0.50:80/tcp → cluster of [10.42.0.2:8080 10.42.1.2:8080] hide outside"},
		"headless": {edits{func(s *corev1.Service) { s.Spec.ClusterIP, s.Spec.ClusterIPs = "None", []string{"None"} }}, at("a0.2"), node{}, ""},
		"external name": {edits{func(s *corev1.Service) {
			s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.org"}
		}}, at(), node{}, ""},
		"another proxy's": {edits{func(s *corev1.Service) {
			s.Labels = map[string]string{"service.kubernetes.io/service-proxy-name": "other"}
		}}, at("a0.2"), node{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.node.name = nodeName
			got := describe(planService(service(c.edits...), []*discoveryv1.EndpointSlice{c.slice}, c.node, nft.V4()))
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestEndpointInTwoSlicesCountsOnceAndReady(t *testing.T) {
	p := planService(service(tcpOnly), []*discoveryv1.EndpointSlice{at("a0.2-", "a0.3"), at("a0.2")}, node{name: nodeName}, nft.V4())
	if want := "10.43.0.50:80/tcp → cluster of [10.42.0.2:8080 10.42.0.3:8080] hide outside"; describe(p) != want {
		t.Errorf("got %s", describe(p))
	}
}

func TestArrangeKeepsPlaces(t *testing.T) {
	parse := func(s string) (all []netip.AddrPort) {
		for _, c := range s {
			all = append(all, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(c)}), 80))
		}
		return all
	}
	for _, c := range [][3]string{
		{"", "abc", "abc"}, {"abc", "abc", "abc"}, {"abc", "bc", "cb"}, {"abc", "abd", "abd"}, {"cab", "abcd", "cabd"}, {"abc", "", ""},
	} {
		if got := arrange(parse(c[0]), parse(c[1])); !slices.Equal(got, parse(c[2])) {
			t.Errorf("arrange(%s, %s) = %v, want %s", c[0], c[1], got, c[2])
		}
	}
}

// size says how many elements a difference has in each set.
func size(all map[element]value) map[string]int {
	count := map[string]int{}
	for e := range all {
		count[e.set]++
	}
	return count
}

func TestOneEndpointsChangeIsFewElements(t *testing.T) {
	s := newState(nft.V4())
	set := func(list ...string) difference {
		s.set(keyOf("default", "web"), planService(service(tcpOnly), []*discoveryv1.EndpointSlice{at(list...)}, node{name: nodeName}, nft.V4()))
		d := s.diff()
		s.done(d)
		return d
	}
	set("a0.2", "a0.3", "a0.4")
	if d := set("a0.2", "a0.3", "a0.4"); !d.empty() {
		t.Errorf("no change: %v", d)
	}
	d := set("a0.2", "a0.3", "a0.5")
	one := map[string]int{setEndpoints: 1, setHairpin: 1}
	if !maps.Equal(size(d.remove), one) || !maps.Equal(size(d.add), one) {
		t.Errorf("one replaced: %v, %v", size(d.remove), size(d.add))
	}
	d = set("a0.3", "a0.5")
	if got := size(d.add); !maps.Equal(got, map[string]int{setServices: 1, setEndpoints: 1}) {
		t.Errorf("one less: %v", got)
	}
	set()
	if d := set("a0.2"); len(d.chains()) != 1 || d.chains()[0].String() != "lb-1-hide-outside" {
		t.Errorf("chains %v", d.chains())
	}
}

func TestFirstServiceByNameHasAnAddressThatTwoWant(t *testing.T) {
	s := newState(nft.V4())
	set := func(name string, present bool, list ...string) {
		svc := service(tcpOnly, func(s *corev1.Service) { s.Name = name })
		if !present {
			svc = nil
		}
		s.set(keyOf("default", name), planService(svc, []*discoveryv1.EndpointSlice{at(list...)}, node{name: nodeName}, nft.V4()))
	}
	has := func() string {
		s.done(s.diff())
		return s.installed[element{setServices, string(frontendKey(frontend{netip.MustParseAddr(clusterIP), nft.TCP, 80, false}))}].chain.String()
	}
	set("b", true, "a0.2")
	if got := has(); got != "lb-1-hide-outside" {
		t.Errorf("b alone: %s", got)
	}
	set("a", true, "a0.3", "a0.4")
	if got := has(); got != "lb-2-hide-outside" {
		t.Errorf("a and b: %s", got)
	}
	set("a", false)
	if got := has(); got != "lb-1-hide-outside" {
		t.Errorf("b again: %s", got)
	}
	set("b", false)
	if s.done(s.diff()); len(s.installed)+len(s.claims)+len(s.plans)+len(s.ids.of) != 0 {
		t.Errorf("left: %v %v %v %v", s.installed, s.claims, s.plans, s.ids.of)
	}
}

func TestDisjointDropsRangesWithinOthers(t *testing.T) {
	got := disjoint(prefixes("10.1.2.0/24", "10.0.0.0/8", "192.0.2.1/32", "192.0.2.1/32"))
	if want := prefixes("10.0.0.0/8", "192.0.2.1/32"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
