package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
)

// freePort is one that neither UDP nor TCP has, on an address of this process' own: the ports of 127.0.0.1 are given to
// whoever connects or listens meanwhile.
func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	pid := os.Getpid()
	for range 100 {
		tcp, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+pid>>16&0x7f, pid>>8&0xff, pid&0xff))
		if err != nil {
			t.Fatal(err)
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		tcp.Close()
		if err == nil {
			udp.Close()
			return netip.MustParseAddrPort(tcp.Addr().String())
		}
	}
	t.Fatal("no free port")
	return netip.AddrPort{}
}

type fixture struct {
	client kubernetes.Interface
	at     netip.AddrPort
}

// local is the default Corefile but for forwarding: nothing may leave this machine.
var local = func() string {
	before, after, _ := strings.Cut(DefaultCorefile("cluster.local"), "    forward")
	_, after, _ = strings.Cut(after, "}\n")
	return before + after
}()

// start runs a server over objects, with a Corefile ("" for local) until the test ends.
func start(t testing.TB, corefile string, objects ...runtime.Object) *fixture {
	t.Helper()
	if corefile == "" {
		corefile = local
	}
	objects = append(objects, corefileMap(corefile))
	client := fake.NewClientset(objects...)
	factory := informers.NewSharedInformerFactory(client, 0)
	at := freePort(t)
	s, err := New(Config{
		Client: client, Informers: factory, NodeName: "n1", Corefile: local, ClusterIPs: []netip.Addr{netip.MustParseAddr("10.43.0.10")},
		Listen: func(context.Context) ([]netip.AddrPort, error) { return []netip.AddrPort{at}, nil },
		Log:    slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	factory.Start(ctx.Done())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("dns: %v", err)
		}
		factory.Shutdown()
	})
	wait, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := s.Ready(wait); err != nil {
		t.Fatal(err)
	}
	return &fixture{client, at}
}

func corefileMap(text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"}, Data: map[string]string{"Corefile": text}}
}

// exchange asks again as resolvers do: what a server has read that is just being replaced is not answered.
func (r *fixture) exchange(network string, m *dns.Msg) (in *dns.Msg, err error) {
	client := &dns.Client{Net: network, Timeout: 10 * time.Second}
	for range 12 {
		if in, _, err = client.Exchange(m, r.at.String()); err == nil {
			break
		}
	}
	return in, err
}

// ask returns the code and the records of an answer, without their headers' times.
func (r *fixture) ask(t testing.TB, network, name string, kind uint16) (string, []string) {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, kind)
	in, err := r.exchange(network, m)
	if err != nil {
		t.Fatalf("%s %s: %v", name, dns.TypeToString[kind], err)
	}
	var all []string
	for _, rr := range in.Answer {
		fields := strings.Fields(rr.String())
		all = append(all, strings.Join(append(fields[:1], fields[3:]...), " "))
	}
	slices.Sort(all)
	return dns.RcodeToString[in.Rcode], all
}

func eventually(t testing.TB, done func() bool) {
	t.Helper()
	deadline, tick := time.After(3*time.Minute), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("still not so after three minutes")
		}
	}
}

func web() []runtime.Object {
	ready := true
	name, port, tcp := "http", int32(8080), corev1.ProtocolTCP
	return []runtime.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
		&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
			Spec:       corev1.ServiceSpec{ClusterIP: "10.43.1.1", ClusterIPs: []string{"10.43.1.1"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
		},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db"}, Spec: corev1.ServiceSpec{ClusterIP: "None", ClusterIPs: []string{"None"}}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "alias"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "web.default.svc.cluster.local"}},
		&discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: "db-1", Labels: map[string]string{discoveryv1.LabelServiceName: "db"}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.42.0.5"}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
			Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}},
		},
	}
}

func TestAnswersOverUDPAndTCP(t *testing.T) {
	r := start(t, "", web()...)
	for _, network := range []string{"udp", "tcp"} {
		for _, c := range []struct {
			name string
			kind uint16
			code string
			want []string
		}{
			{"web.default.svc.cluster.local.", dns.TypeA, "NOERROR", []string{"web.default.svc.cluster.local. A 10.43.1.1"}},
			{"web.default.svc.cluster.local.", dns.TypeAAAA, "NOERROR", nil},
			{"none.default.svc.cluster.local.", dns.TypeA, "NXDOMAIN", nil},
			{"db.default.svc.cluster.local.", dns.TypeA, "NOERROR", []string{"db.default.svc.cluster.local. A 10.42.0.5"}},
			{"_http._tcp.web.default.svc.cluster.local.", dns.TypeSRV, "NOERROR", []string{"_http._tcp.web.default.svc.cluster.local. SRV 0 100 80 web.default.svc.cluster.local."}},
			{"alias.default.svc.cluster.local.", dns.TypeA, "NOERROR", []string{
				"alias.default.svc.cluster.local. CNAME web.default.svc.cluster.local.", "web.default.svc.cluster.local. A 10.43.1.1"}},
			{"1.1.43.10.in-addr.arpa.", dns.TypePTR, "NOERROR", []string{"1.1.43.10.in-addr.arpa. PTR web.default.svc.cluster.local."}},
			{"5.0.42.10.in-addr.arpa.", dns.TypePTR, "NOERROR", []string{"5.0.42.10.in-addr.arpa. PTR 10-42-0-5.db.default.svc.cluster.local."}},
			{"10-42-0-5.default.pod.cluster.local.", dns.TypeA, "NOERROR", []string{"10-42-0-5.default.pod.cluster.local. A 10.42.0.5"}},
			{"dns-version.cluster.local.", dns.TypeTXT, "NOERROR", []string{`dns-version.cluster.local. TXT "1.1.0"`}},
			{"cluster.local.", dns.TypeNS, "NOERROR", []string{"cluster.local. NS ns.dns.cluster.local."}},
			{"ns.dns.cluster.local.", dns.TypeA, "NOERROR", []string{"ns.dns.cluster.local. A 10.43.0.10"}},
		} {
			code, got := r.ask(t, network, c.name, c.kind)
			if code != c.code || !slices.Equal(got, c.want) {
				t.Errorf("%s: %s %s: %s %q, want %s %q", network, c.name, dns.TypeToString[c.kind], code, got, c.code, c.want)
			}
		}
	}
}

func TestNegativeAnswersCarryTheSOA(t *testing.T) {
	r := start(t, "", web()...)
	for _, name := range []string{"none.default.svc.cluster.local.", "svc.cluster.local."} {
		m := new(dns.Msg)
		m.SetQuestion(name, dns.TypeA)
		in, err := r.exchange("udp", m)
		if err != nil || len(in.Ns) != 1 || in.Ns[0].Header().Rrtype != dns.TypeSOA || in.Ns[0].Header().Name != "cluster.local." || !in.Authoritative {
			t.Errorf("%s: %v, %v; want an authoritative answer with the SOA of cluster.local.", name, in, err)
		}
	}
}

func TestFollowsServices(t *testing.T) {
	r := start(t, strings.ReplaceAll(local, "    cache 30\n", ""), web()...)
	added := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "new"}, Spec: corev1.ServiceSpec{ClusterIP: "10.43.2.2"}}
	if _, err := r.client.CoreV1().Services("default").Create(t.Context(), added, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		_, got := r.ask(t, "udp", "new.default.svc.cluster.local.", dns.TypeA)
		return len(got) == 1
	})
	if err := r.client.CoreV1().Services("default").Delete(t.Context(), "new", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		code, _ := r.ask(t, "udp", "new.default.svc.cluster.local.", dns.TypeA)
		return code == "NXDOMAIN"
	})
}

func TestCorefileIsHonouredAndReloaded(t *testing.T) {
	r := start(t, ".:53 {\n hosts {\n  192.0.2.1 a.example\n  fallthrough\n }\n kubernetes cluster.local\n}\n", web()...)
	if _, got := r.ask(t, "udp", "a.example.", dns.TypeA); len(got) != 1 || got[0] != "a.example. A 192.0.2.1" {
		t.Fatalf("a.example: %q", got)
	}
	set := func(text string) {
		t.Helper()
		if _, err := r.client.CoreV1().ConfigMaps("kube-system").Update(t.Context(), corefileMap(text), metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	set(".:53 {\n hosts {\n  192.0.2.2 a.example\n }\n}\nother.local { \n kubernetes other.local\n}\n")
	eventually(t, func() bool {
		_, got := r.ask(t, "udp", "a.example.", dns.TypeA)
		return len(got) == 1 && got[0] == "a.example. A 192.0.2.2"
	})
	eventually(t, func() bool { // by then nobody asks the old server any more
		_, got := r.ask(t, "tcp", "web.default.svc.other.local.", dns.TypeA)
		return len(got) == 1
	})
	set(".:53 {\n errors\n nonsense\n}\n")
	want := "Corefile:3 - Error during parsing: Unknown directive 'nonsense': the one before stays in use"
	eventually(t, func() bool {
		list, err := r.client.CoreV1().Events("kube-system").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(list.Items, func(e corev1.Event) bool { return e.Reason == "InvalidCorefile" && e.Message == want })
	})
	if _, got := r.ask(t, "udp", "a.example.", dns.TypeA); len(got) != 1 || got[0] != "a.example. A 192.0.2.2" {
		t.Errorf("after an invalid Corefile: %q", got)
	}
}

func TestAnInvalidFirstCorefileGivesWayToTheDefault(t *testing.T) {
	r := start(t, ".:53 {\n nonsense\n}\n", web()...)
	if _, got := r.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA); len(got) != 1 {
		t.Errorf("web: %q", got)
	}
}

func TestPluginsOfOrdinaryCorefilesWork(t *testing.T) {
	upstream := fakeUpstream(t)
	r := start(t, fmt.Sprintf(`.:53 {
    errors
    log
    health {
       lameduck 10ms
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods verified
        fallthrough in-addr.arpa ip6.arpa
        endpoint_pod_names
        namespaces default
    }
    prometheus :9153
    rewrite name old.example web.default.svc.cluster.local
    template IN A t.example {
        answer "{{ .Name }} 60 IN A 192.0.2.9"
    }
    forward . %s
    cache 30
    loop
    reload
    loadbalance
}
`, upstream), web()...)
	for _, c := range []struct{ name, want string }{
		{"t.example.", "t.example. A 192.0.2.9"},
		{"old.example.", "old.example. A 10.43.1.1"},
		{"far.example.", "far.example. A 192.0.2.7"},
	} {
		if _, got := r.ask(t, "udp", c.name, dns.TypeA); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if code, _ := r.ask(t, "udp", "10-42-0-5.default.pod.cluster.local.", dns.TypeA); code != "NXDOMAIN" {
		t.Errorf("a pod that does not exist: %s", code)
	}
}

// fakeUpstream answers everything with 192.0.2.7.
func fakeUpstream(t testing.TB) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(r)
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: r.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(192, 0, 2, 7)}}
		_ = w.WriteMsg(m)
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.ActivateAndServe() }()
	t.Cleanup(func() {
		_ = server.Shutdown()
		<-ended
	})
	return conn.LocalAddr().String()
}

func TestALoopIsBrokenNotFatal(t *testing.T) {
	port := freePort(t)
	r := start(t, fmt.Sprintf(".:%d {\n loop\n forward . %s\n}\n.:53 {\n kubernetes cluster.local\n}\n", port.Port(), port), web()...)
	looped := &fixture{r.client, port}
	l := new(dns.Msg)
	l.SetQuestion("x.example.", dns.TypeA)
	eventually(t, func() bool {
		in, _, err := (&dns.Client{Timeout: time.Second}).Exchange(l, looped.at.String())
		return err == nil && in.Rcode == dns.RcodeServerFailure
	})
	if _, got := r.ask(t, "udp", "web.default.svc.cluster.local.", dns.TypeA); len(got) != 1 {
		t.Errorf("the cluster's own names: %q", got)
	}
}

func TestPublishesTheServiceAndItsOwnAddress(t *testing.T) {
	r := start(t, "", web()...)
	eventually(t, func() bool {
		slice, err := r.client.DiscoveryV1().EndpointSlices("kube-system").Get(t.Context(), "kube-dns-n1", metav1.GetOptions{})
		return err == nil && slice.Labels[discoveryv1.LabelServiceName] == "kube-dns" && slice.Endpoints[0].Addresses[0] == r.at.Addr().String() &&
			*slice.Endpoints[0].NodeName == "n1" && *slice.Ports[0].Port == int32(r.at.Port())
	})
	s, err := r.client.CoreV1().Services("kube-system").Get(t.Context(), "kube-dns", metav1.GetOptions{})
	if err != nil || s.Spec.ClusterIP != "10.43.0.10" || len(s.Spec.Selector) != 0 {
		t.Errorf("service %v, %v", s, err)
	}
}

func TestCorefilesOfPodsAreAdaptedToTheHost(t *testing.T) {
	got, err := adapt(".:53 other:5353 {\n health\n prometheus :9153\n ready 127.0.0.9:1\n template IN A {\n  answer \"{{ .Name }} IN A 192.0.2.1\"\n }\n}\nx {\n bind 127.0.0.3\n}\n",
		[]netip.AddrPort{netip.MustParseAddrPort("10.42.0.1:53")})
	if err != nil {
		t.Fatal(err)
	}
	want := ".:53 other:5353 {\nbind 10.42.0.1\nhealth 10.42.0.1:8080\nprometheus 10.42.0.1:9153\nready 127.0.0.9:1\n" +
		"template IN A {\nanswer \"{{ .Name }} IN A 192.0.2.1\"\n}\n}\nx:53 {\nbind 127.0.0.3\n}\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func BenchmarkQueryOverUDP(b *testing.B) {
	r := start(b, "", web()...)
	client := &dns.Client{}
	conn, err := client.Dial(r.at.String())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	m := new(dns.Msg)
	m.SetQuestion("web.default.svc.cluster.local.", dns.TypeA)
	for b.Loop() {
		if _, _, err := client.ExchangeWithConn(m, conn); err != nil {
			b.Fatal(err)
		}
	}
}
