package proxy

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/nftables"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	fcache "k8s.io/client-go/tools/cache/testing"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/network"
	"dhow/network/networktest"
	"dhow/network/nft"
)

const (
	nodeName  = "node1"
	clusterIP = "10.43.0.50"
	nodePort  = 30080
)

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// fixture is a pod network and a service proxy that run on the node for one test.
type fixture struct {
	t       testing.TB
	api     *api
	network *network.Network
	proxy   *Proxy
	stop    func() // the proxy
	made    atomic.Int32
}

// api stands for the API server: what it holds is listed and watched without loss.
type api struct{ services, slices, nodes *fcache.FakeControllerSource }

func newAPI() *api {
	return &api{fcache.NewFakeControllerSource(), fcache.NewFakeControllerSource(), fcache.NewFakeControllerSource()}
}

func (a *api) informers() informers.SharedInformerFactory {
	factory := informers.NewSharedInformerFactory(nil, 0)
	for source, object := range map[*fcache.FakeControllerSource]runtime.Object{
		a.services: &corev1.Service{}, a.slices: &discoveryv1.EndpointSlice{}, a.nodes: &corev1.Node{},
	} {
		factory.InformerFor(object, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer {
			return cache.NewSharedIndexInformer(source, object, 0, cache.Indexers{})
		})
	}
	return factory
}

func start(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, api: newAPI()}
	f.startNetwork()
	f.startProxy()
	t.Cleanup(func() {
		f.stop()
		if err := Reset(Config{TableName: "pt-proxy"}); err != nil {
			t.Errorf("reset: %v", err)
		}
	})
	return f
}

func (f *fixture) startNetwork() {
	f.t.Helper()
	config := network.Config{
		StateDir: f.t.TempDir(), Name: "pt",
		ClusterCIDRs: prefixes("10.42.0.0/16", "fd42::/48"), ServiceCIDRs: prefixes("10.43.0.0/16", "fd43::/112"),
	}
	n, err := network.New(config)
	if err != nil {
		f.t.Fatal(err)
	}
	stop := run(f.t, n.Run)
	f.t.Cleanup(func() {
		stop()
		if err := network.Reset(config); err != nil {
			f.t.Errorf("reset network: %v", err)
		}
	})
	if err := n.SetPodCIDRs(f.limit(), prefixes("10.42.0.0/24", "fd42::/64")); err != nil {
		f.t.Fatal(err)
	}
	f.network = n
}

// startProxy runs a new Proxy until f.stop.
func (f *fixture) startProxy() {
	f.t.Helper()
	factory := f.api.informers()
	p, err := New(Config{
		Informers: factory, NodeName: nodeName, TableName: "pt-proxy", LoopbackNodePorts: true,
		ClusterCIDRs: prefixes("10.42.0.0/16", "fd42::/48"), ServiceCIDRs: prefixes("10.43.0.0/16", "fd43::/112"),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	quit := make(chan struct{})
	factory.Start(quit)
	stop := run(f.t, p.Run)
	f.stop = func() {
		stop()
		close(quit)
		factory.Shutdown()
		f.stop = func() {}
	}
	f.proxy = p
	if err := p.Ready(f.limit()); err != nil {
		f.t.Fatal(err)
	}
}

// run returns a function that ends what it runs.
func run(t testing.TB, part func(context.Context) error) func() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
}

func (f *fixture) limit() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	f.t.Cleanup(cancel)
	return ctx
}

// pod is a namespace on the pod network with servers on TCP and UDP port 8080 that say its name.
type pod struct {
	*networktest.Namespace
	name  string
	addrs []netip.Addr
}

func (f *fixture) pod() pod {
	f.t.Helper()
	p := pod{Namespace: networktest.New(f.t), name: fmt.Sprintf("pod%d", f.made.Add(1))}
	var err error
	p.addrs, err = f.network.Attach(f.limit(), p.name, p.Path(), &cri.PodSandboxConfig{})
	if err != nil {
		f.t.Fatal(err)
	}
	networktest.Serve(f.t, p, "tcp", ":8080", p.name)
	networktest.Serve(f.t, p, "udp4", "0.0.0.0:8080", p.name)
	return p
}

func (f *fixture) pods(n int) []pod {
	f.t.Helper()
	var all []pod
	for range n {
		all = append(all, f.pod())
	}
	return all
}

// service is a Service "web" with TCP and UDP port 80, changed by the edits.
func service(edits ...func(*corev1.Service)) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: clusterIP, ClusterIPs: []string{clusterIP},
			Ports: []corev1.ServicePort{
				{Name: "tcp", Protocol: corev1.ProtocolTCP, Port: 80}, {Name: "udp", Protocol: corev1.ProtocolUDP, Port: 80},
			},
		},
	}
	for _, edit := range edits {
		edit(svc)
	}
	return svc
}

func withNodePort(svc *corev1.Service) {
	svc.Spec.Type = corev1.ServiceTypeNodePort
	for i := range svc.Spec.Ports {
		svc.Spec.Ports[i].NodePort = nodePort
	}
}

func withBalancer(svc *corev1.Service) {
	withNodePort(svc)
	svc.Spec.Type = corev1.ServiceTypeLoadBalancer
	svc.Spec.ExternalIPs = []string{"203.0.113.5"}
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.6"}}
}

func withLocalTraffic(svc *corev1.Service) {
	svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
}

func withLocalInternalTraffic(svc *corev1.Service) {
	local := corev1.ServiceInternalTrafficPolicyLocal
	svc.Spec.InternalTrafficPolicy = &local
}

func withAffinity(seconds int32) func(*corev1.Service) {
	return func(svc *corev1.Service) {
		svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		svc.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
	}
}

// slice is the EndpointSlice of the Service "web" with ready endpoints on this node.
func slice(pods ...pod) *discoveryv1.EndpointSlice {
	s := emptySlice("web", discoveryv1.AddressTypeIPv4)
	for _, p := range pods {
		s.Endpoints = append(s.Endpoints, ready(p.addrs[0].String()))
	}
	return s
}

func emptySlice(service string, kind discoveryv1.AddressType) *discoveryv1.EndpointSlice {
	port, tcp, udp := int32(8080), corev1.ProtocolTCP, corev1.ProtocolUDP
	tcpName, udpName := "tcp", "udp"
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: service + "-" + string(kind),
			Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: kind,
		Ports: []discoveryv1.EndpointPort{
			{Name: &tcpName, Protocol: &tcp, Port: &port}, {Name: &udpName, Protocol: &udp, Port: &port},
		},
	}
}

func ready(addr string) discoveryv1.Endpoint {
	yes, node := true, nodeName
	return discoveryv1.Endpoint{Addresses: []string{addr}, NodeName: &node,
		Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes}}
}

// create adds a Service and waits until it is in the kernel.
func (f *fixture) create(svc *corev1.Service, list ...*discoveryv1.EndpointSlice) {
	f.t.Helper()
	f.api.services.Add(svc)
	for _, s := range list {
		f.api.slices.Add(s)
	}
	f.settle()
}

// update changes a slice and waits until that is in the kernel.
func (f *fixture) update(s *discoveryv1.EndpointSlice) {
	f.t.Helper()
	f.api.slices.Modify(s)
	f.settle()
}

// settle makes one more Service and waits until that is in the kernel: then all that was before it is too.
func (f *fixture) settle() {
	f.t.Helper()
	n := f.made.Add(1)
	last := service(func(s *corev1.Service) {
		s.Name = fmt.Sprintf("last%d", n)
		s.Spec.ClusterIP, s.Spec.ClusterIPs = fmt.Sprintf("10.43.%d.%d", 100+n/250, 1+n%250), nil
	})
	end := emptySlice(last.Name, discoveryv1.AddressTypeIPv4)
	end.Endpoints = []discoveryv1.Endpoint{ready("192.0.2.10")}
	f.api.slices.Add(end)
	f.api.services.Add(last)
	key := frontendKey(frontend{addr: netip.MustParseAddr(last.Spec.ClusterIP), protocol: nft.TCP, port: 80})
	eventually(f.t, "the proxy has seen the change", func() bool { return inKernel(f.t, setServices, key) })
}

// inKernel tells whether a set of the proxy's IPv4 table has a key.
func inKernel(t testing.TB, set string, key nft.Key) bool {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	all, err := conn.GetSetElements(&nftables.Set{Name: set,
		Table: &nftables.Table{Name: "pt-proxy", Family: nftables.TableFamilyIPv4}})
	if err != nil && !strings.Contains(err.Error(), "no such file or directory") {
		t.Fatal(err)
	}
	return slices.ContainsFunc(all, func(e nftables.SetElement) bool { return bytes.Equal(e.Key, key) })
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(3 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("not in time: %s", what)
		case <-tick.C:
		}
	}
}

// spread asks n times and counts the answers.
func spread(t testing.TB, from networktest.Place, network, address string, n int) map[string]int {
	t.Helper()
	count := map[string]int{}
	for range n {
		count[networktest.MustAsk(t, from, network, address).Server]++
	}
	return count
}

// learned counts the clients whose endpoints the kernel remembers.
func learned(t testing.TB) int {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	all, err := conn.GetSetElements(&nftables.Set{Name: "affinity",
		Table: &nftables.Table{Name: "pt-proxy", Family: nftables.TableFamilyIPv4}})
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
