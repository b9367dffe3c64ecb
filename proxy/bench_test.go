package proxy

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"dhow/network/networktest"
	"dhow/network/nft"
)

// many makes n Services with three endpoints each.
func many(n int) []change {
	var all []change
	for i := range n {
		name := fmt.Sprintf("svc%d", i)
		svc := service(func(s *corev1.Service) {
			s.Name = name
			s.Spec.ClusterIP, s.Spec.ClusterIPs = fmt.Sprintf("10.43.%d.%d", i/250, 1+i%250), nil
			s.Spec.Ports = s.Spec.Ports[:1]
		})
		all = append(all, change{keyOf("default", name), svc, []*discoveryv1.EndpointSlice{endpointsAt(name, i, 0)}})
	}
	return all
}

func endpointsAt(service string, i, version int) *discoveryv1.EndpointSlice {
	s := emptySlice(service, discoveryv1.AddressTypeIPv4)
	for j := range 3 {
		addr := netip.AddrFrom4([4]byte{10, 42, byte(i / 60), byte(i%60*4 + j)})
		if j == 2 && version%2 == 1 {
			addr = netip.AddrFrom4([4]byte{10, 42, 200, byte(version)})
		}
		s.Endpoints = append(s.Endpoints, ready(addr.String()))
	}
	return s
}

func benchProxy(b *testing.B, services int) *Proxy {
	b.Helper()
	p, err := New(Config{Informers: newAPI().informers(), NodeName: nodeName, TableName: "pb-proxy",
		ClusterCIDRs: prefixes("10.42.0.0/16"), ServiceCIDRs: prefixes("10.43.0.0/16")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := Reset(Config{TableName: "pb-proxy"}); err != nil {
			b.Errorf("reset: %v", err)
		}
	})
	for _, c := range many(services) {
		p.families[0].plan(c, node{name: nodeName})
	}
	return p
}

// BenchmarkFullSync writes 1,000 Services with 3 endpoints each to the kernel, over what is there.
func BenchmarkFullSync(b *testing.B) {
	p := benchProxy(b, 1000)
	for b.Loop() {
		if err := p.writeAll(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPlan plans 1,000 Services with 3 endpoints each.
func BenchmarkPlan(b *testing.B) {
	all := many(1000)
	for b.Loop() {
		f := &family{table: table{family: nft.V4()}, state: newState(nft.V4())}
		for _, c := range all {
			f.plan(c, node{name: nodeName})
		}
	}
}

// BenchmarkOneChange plans and writes one endpoint's change among 1,000 Services.
func BenchmarkOneChange(b *testing.B) {
	p := benchProxy(b, 1000)
	if err := p.writeAll(); err != nil {
		b.Fatal(err)
	}
	c := many(6)[5]
	for i := 0; b.Loop(); i++ {
		c.slices = []*discoveryv1.EndpointSlice{endpointsAt(c.name.Name, 5, i)}
		p.families[0].plan(c, node{name: nodeName})
		if err := p.write(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConnect opens a connection through a ClusterIP, among 1,000 Services.
func BenchmarkConnect(b *testing.B) {
	f := start(b)
	for _, c := range many(1000) {
		f.api.services.Add(c.service)
		f.api.slices.Add(c.slices[0])
	}
	p := f.pod()
	f.create(service(func(s *corev1.Service) {
		s.Spec.ClusterIP, s.Spec.ClusterIPs = "10.43.90.1", nil
	}), slice(p))
	for b.Loop() {
		networktest.MustAsk(b, networktest.Node{T: b}, "tcp", "10.43.90.1:80")
	}
}
