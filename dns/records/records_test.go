package records

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func newTestService(name string, change ...func(*corev1.ServiceSpec)) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
	for _, f := range change {
		f(&s.Spec)
	}
	return s
}

func at(ips ...string) func(*corev1.ServiceSpec) {
	return func(s *corev1.ServiceSpec) { s.ClusterIP, s.ClusterIPs = ips[0], ips }
}

func withPort(name string, number int32, protocol corev1.Protocol) func(*corev1.ServiceSpec) {
	return func(s *corev1.ServiceSpec) {
		s.Ports = append(s.Ports, corev1.ServicePort{Name: name, Port: number, Protocol: protocol})
	}
}

func externally(name string) func(*corev1.ServiceSpec) {
	return func(s *corev1.ServiceSpec) { s.Type, s.ExternalName = corev1.ServiceTypeExternalName, name }
}

// slice has endpoints written "address", "address=hostname", "address@pod" or "!address" for one that is not ready.
func slice(name, service string, endpoints ...string) *discoveryv1.EndpointSlice {
	port, number, tcp := "http", int32(8080), corev1.ProtocolTCP
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		Ports:      []discoveryv1.EndpointPort{{Name: &port, Port: &number, Protocol: &tcp}},
	}
	for _, text := range endpoints {
		address, notReady := strings.CutPrefix(text, "!")
		ready := !notReady
		e := discoveryv1.Endpoint{Conditions: discoveryv1.EndpointConditions{Ready: &ready}}
		if a, host, ok := strings.Cut(address, "="); ok {
			address, e.Hostname = a, &host
		}
		if a, pod, ok := strings.Cut(address, "@"); ok {
			address, e.TargetRef = a, &corev1.ObjectReference{Kind: "Pod", Name: pod}
		}
		e.Addresses = []string{address}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

func pod(name, ip string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Status: corev1.PodStatus{PodIPs: []corev1.PodIP{{IP: ip}}}}
}

func index() *Index {
	x := New()
	x.SetNamespace(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns", Labels: map[string]string{"team": "a"}}})
	for _, s := range []*corev1.Service{
		newTestService("web", at("10.0.0.1"), withPort("http", 80, "TCP"), withPort("dns", 53, "UDP")),
		newTestService("dual", at("10.0.0.2", "fd00::2"), withPort("", 80, "TCP")),
		newTestService("set", at("None")), newTestService("empty", at("None")),
		newTestService("alias", externally("example.com")), newTestService("number", externally("192.0.2.1")),
	} {
		x.SetService(s)
	}
	x.SetSlice(slice("set-1", "set", "10.1.0.1=db-0", "10.1.0.2@pod-x", "!10.1.0.3=db-2"), nil)
	x.SetSlice(slice("set-2", "set", "10.1.0.4"), nil)
	x.SetSlice(slice("set-6", "set", "fd01::1"), nil)
	x.SetSlice(slice("web-1", "web", "10.1.0.9"), nil)
	x.SetPod(pod("p", "10.1.0.9"), nil)
	return x
}

func texts(all []dns.RR) []string {
	var out []string
	for _, rr := range all {
		fields := strings.Fields(rr.String())
		out = append(out, strings.Join(append(fields[:1], fields[3:]...), " "))
	}
	slices.Sort(out)
	return out
}

var view = View{Domain: "c.local.", TTL: 5, Pods: PodsInsecure, Server: []netip.Addr{netip.MustParseAddr("10.0.0.10")}}

func TestLookup(t *testing.T) {
	const missing = "missing"
	podNames, verified, disabled, hidden, noEndpoints, noEmpty := view, view, view, view, view, view
	podNames.PodNames = true
	verified.Pods, disabled.Pods = PodsVerified, PodsDisabled
	hidden.Exposed = func(_ string, labels map[string]string) bool { return labels["team"] == "b" }
	noEndpoints.NoEndpoints, noEmpty.IgnoreEmpty = true, true
	for _, c := range []struct {
		view *View
		name string
		kind uint16
		want string // records, or missing; empty for no data
	}{
		{&view, "web.ns.svc", dns.TypeA, "web.ns.svc.c.local. A 10.0.0.1"},
		{&view, "web.ns.svc", dns.TypeAAAA, ""},
		{&view, "web.ns.svc", dns.TypeMX, ""},
		{&view, "dual.ns.svc", dns.TypeAAAA, "dual.ns.svc.c.local. AAAA fd00::2"},
		{&view, "none.ns.svc", dns.TypeA, missing},
		{&view, "web.other.svc", dns.TypeA, missing},
		{&view, "ns.svc", dns.TypeA, ""},
		{&view, "other.svc", dns.TypeA, missing},
		{&view, "svc", dns.TypeA, ""},
		{&view, "", dns.TypeA, ""},
		{&view, "something.else", dns.TypeA, missing},
		{&view, "a.b.c.web.ns.svc", dns.TypeA, missing},
		{&view, "_http._tcp.web.ns.svc", dns.TypeSRV, "_http._tcp.web.ns.svc.c.local. SRV 0 100 80 web.ns.svc.c.local."},
		{&view, "_http._tcp.web.ns.svc", dns.TypeA, ""},
		{&view, "_http._udp.web.ns.svc", dns.TypeSRV, missing},
		{&view, "_https._tcp.web.ns.svc", dns.TypeSRV, missing},
		{&view, "_udp.web.ns.svc", dns.TypeA, ""},
		{&view, "_sctp.web.ns.svc", dns.TypeA, missing},
		{&view, "web.ns.svc", dns.TypeSRV, "web.ns.svc.c.local. SRV 0 50 53 web.ns.svc.c.local. | web.ns.svc.c.local. SRV 0 50 80 web.ns.svc.c.local."},
		{&view, "set.ns.svc", dns.TypeA, "set.ns.svc.c.local. A 10.1.0.1 | set.ns.svc.c.local. A 10.1.0.2 | set.ns.svc.c.local. A 10.1.0.4"},
		{&view, "set.ns.svc", dns.TypeAAAA, "set.ns.svc.c.local. AAAA fd01::1"},
		{&view, "empty.ns.svc", dns.TypeA, ""},
		{&noEmpty, "empty.ns.svc", dns.TypeA, missing},
		{&noEmpty, "alias.ns.svc", dns.TypeCNAME, "alias.ns.svc.c.local. CNAME example.com."},
		{&noEndpoints, "set.ns.svc", dns.TypeA, missing},
		{&view, "db-0.set.ns.svc", dns.TypeA, "db-0.set.ns.svc.c.local. A 10.1.0.1"},
		{&view, "db-2.set.ns.svc", dns.TypeA, missing},
		{&view, "10-1-0-4.set.ns.svc", dns.TypeA, "10-1-0-4.set.ns.svc.c.local. A 10.1.0.4"},
		{&view, "pod-x.set.ns.svc", dns.TypeA, missing},
		{&podNames, "pod-x.set.ns.svc", dns.TypeA, "pod-x.set.ns.svc.c.local. A 10.1.0.2"},
		{&view, "_http._tcp.set.ns.svc", dns.TypeSRV, "_http._tcp.set.ns.svc.c.local. SRV 0 25 8080 10-1-0-2.set.ns.svc.c.local. | " +
			"_http._tcp.set.ns.svc.c.local. SRV 0 25 8080 10-1-0-4.set.ns.svc.c.local. | _http._tcp.set.ns.svc.c.local. SRV 0 25 8080 db-0.set.ns.svc.c.local. | " +
			"_http._tcp.set.ns.svc.c.local. SRV 0 25 8080 fd01--1.set.ns.svc.c.local."},
		{&view, "alias.ns.svc", dns.TypeA, "alias.ns.svc.c.local. CNAME example.com."},
		{&view, "number.ns.svc", dns.TypeA, "number.ns.svc.c.local. A 192.0.2.1"},
		{&view, "1-2-3-4.ns.pod", dns.TypeA, "1-2-3-4.ns.pod.c.local. A 1.2.3.4"},
		{&view, "fd01--1.ns.pod", dns.TypeAAAA, "fd01--1.ns.pod.c.local. AAAA fd01::1"},
		{&view, "1-2-3-4.ns.pod", dns.TypeAAAA, ""},
		{&view, "1-2-3-4.other.pod", dns.TypeA, missing},
		{&view, "nonsense.ns.pod", dns.TypeA, missing},
		{&view, "ns.pod", dns.TypeA, ""},
		{&verified, "10-1-0-9.ns.pod", dns.TypeA, "10-1-0-9.ns.pod.c.local. A 10.1.0.9"},
		{&verified, "1-2-3-4.ns.pod", dns.TypeA, missing},
		{&disabled, "1-2-3-4.ns.pod", dns.TypeA, missing},
		{&hidden, "web.ns.svc", dns.TypeA, missing},
		{&view, "dns-version", dns.TypeTXT, `dns-version.c.local. TXT "1.1.0"`},
		{&view, "ns.dns", dns.TypeA, "ns.dns.c.local. A 10.0.0.10"},
	} {
		t.Run(c.name+" "+dns.TypeToString[c.kind], func(t *testing.T) {
			a := index().Lookup(c.view, c.name, strings.TrimPrefix(c.name+".", ".")+"c.local.", c.kind)
			got := strings.Join(texts(a.Records), " | ")
			if !a.Exists {
				got = missing + got
			}
			if got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestSRVBringsAddresses(t *testing.T) {
	a := index().Lookup(&view, "_http._tcp.set.ns.svc", "_http._tcp.set.ns.svc.c.local.", dns.TypeSRV)
	want := []string{"10-1-0-2.set.ns.svc.c.local. A 10.1.0.2", "10-1-0-4.set.ns.svc.c.local. A 10.1.0.4",
		"db-0.set.ns.svc.c.local. A 10.1.0.1", "fd01--1.set.ns.svc.c.local. AAAA fd01::1"}
	if got := texts(a.Extra); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReverse(t *testing.T) {
	hidden := view
	hidden.Exposed = func(string, map[string]string) bool { return false }
	for _, c := range []struct {
		view          *View
		address, want string
	}{
		{&view, "10.0.0.1", "web.ns.svc.c.local."},
		{&view, "fd00::2", "dual.ns.svc.c.local."},
		{&view, "10.1.0.1", "db-0.set.ns.svc.c.local."},
		{&view, "10.1.0.4", "10-1-0-4.set.ns.svc.c.local."},
		{&view, "10.1.0.3", ""},
		{&view, "10.9.9.9", ""},
		{&hidden, "10.0.0.1", ""},
	} {
		got := ""
		for _, rr := range index().Reverse(c.view, netip.MustParseAddr(c.address), "x.") {
			got += rr.(*dns.PTR).Ptr
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.address, got, c.want)
		}
	}
}

func TestChangesLeaveNothingBehind(t *testing.T) {
	x := index()
	moved := slice("set-1", "web", "10.1.0.7=db-0")
	x.SetSlice(moved, slice("set-1", "set"))
	x.SetService(newTestService("web", at("10.0.0.5")))
	x.SetPod(pod("p", "10.1.0.8"), pod("p", "10.1.0.9"))
	verified := view
	verified.Pods = PodsVerified
	for name, want := range map[string]int{
		"db-0.set.ns.svc": 0, "db-0.web.ns.svc": 1, "10-1-0-9.ns.pod": 0, "10-1-0-8.ns.pod": 1, "web.ns.svc": 1,
	} {
		if got := x.Lookup(&verified, name, name+".c.local.", dns.TypeA); len(got.Records) != want {
			t.Errorf("%s: %v, want %d records", name, got.Records, want)
		}
	}
	if got := x.Reverse(&view, netip.MustParseAddr("10.0.0.1"), "x."); len(got) != 0 {
		t.Errorf("the old cluster IP: %v", got)
	}
	for _, s := range []*discoveryv1.EndpointSlice{moved, slice("set-2", "set"), slice("set-6", "set"), slice("web-1", "web")} {
		x.RemoveSlice(s)
	}
	for _, name := range []string{"web", "dual", "set", "empty", "alias", "number"} {
		x.RemoveService(newTestService(name))
	}
	x.RemovePod(pod("p", "10.1.0.8"))
	x.RemoveNamespace(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}})
	if n := len(x.services) + len(x.endpoints) + len(x.addresses) + len(x.clusterIPs) + len(x.pods) + len(x.namespaces); n != 0 {
		t.Errorf("%d entries left", n)
	}
}

func large() *Index {
	x := New()
	x.SetNamespace(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}})
	for i := range 10000 {
		name := fmt.Sprint("s", i)
		x.SetService(newTestService(name, at(fmt.Sprintf("10.%d.%d.1", i/250, i%250)), withPort("http", 80, "TCP")))
		x.SetSlice(slice(name+"-1", name, fmt.Sprintf("10.%d.%d.2", i/250, i%250)), nil)
	}
	return x
}

func BenchmarkLookupAmong10000Services(b *testing.B) {
	x := large()
	for b.Loop() {
		if a := x.Lookup(&view, "s5000.ns.svc", "s5000.ns.svc.c.local.", dns.TypeA); len(a.Records) != 1 {
			b.Fatal(a)
		}
	}
}

func BenchmarkChangeOneOf10000Slices(b *testing.B) {
	x := large()
	one, other := slice("s5000-1", "s5000", "10.200.0.1"), slice("s5000-1", "s5000", "10.200.0.2")
	for b.Loop() {
		x.SetSlice(one, other)
		one, other = other, one
	}
}
