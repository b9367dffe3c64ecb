package network

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/network/networktest"
)

var _ container.Network = (*Network)(nil)

// fixture is a Network that runs on the node for one test.
type fixture struct {
	*Network
	t      testing.TB
	config Config
	stop   func()
	pods   atomic.Int32
}

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// start runs a Network and, at the end of the test, resets it.
func start(t testing.TB, podCIDRs ...string) *fixture {
	t.Helper()
	if len(podCIDRs) == 0 {
		podCIDRs = []string{"10.42.0.0/24"}
	}
	f := &fixture{t: t, config: Config{
		StateDir:     t.TempDir(),
		ClusterCIDRs: prefixes("10.42.0.0/16", "fd42::/48")[:len(podCIDRs)],
		ServiceCIDRs: prefixes("10.43.0.0/16"),
		Name:         "nt",
	}}
	f.run(podCIDRs...)
	t.Cleanup(func() {
		f.stop()
		if err := Reset(f.config); err != nil {
			t.Errorf("reset: %v", err)
		}
	})
	return f
}

func (f *fixture) run(podCIDRs ...string) {
	f.t.Helper()
	n, err := New(f.config)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	f.stop = func() {
		cancel()
		if err, ok := <-done; ok && err != nil {
			f.t.Errorf("run: %v", err)
		}
		close(done)
		f.stop = func() {}
	}
	f.Network = n
	if err := n.SetPodCIDRs(f.limit(), prefixes(podCIDRs...)); err != nil {
		f.t.Fatal(err)
	}
}

// limit is a context that ends before the test's patience.
func (f *fixture) limit() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	f.t.Cleanup(cancel)
	return ctx
}

// pod is a namespace attached to the network.
type pod struct {
	*networktest.Namespace
	id    string
	addrs []netip.Addr
}

func (p pod) at(port int) string { return netip.AddrPortFrom(p.addrs[0], uint16(port)).String() }

func (f *fixture) pod(ports ...*cri.PortMapping) pod {
	f.t.Helper()
	p := pod{Namespace: networktest.New(f.t), id: fmt.Sprintf("sandbox%d", f.pods.Add(1))}
	addrs, err := f.Attach(f.limit(), p.id, p.Path(), &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Namespace: "default", Name: p.id}, PortMappings: ports,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	p.addrs = addrs
	return p
}

// eventually polls until ok or a deadline.
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

func hasLink(name string) bool {
	_, err := netlink.LinkByName(name)
	return err == nil
}

func TestPodsReachEachOtherWithTheirOwnAddresses(t *testing.T) {
	f := start(t)
	a, b := f.pod(), f.pod()
	for _, network := range []string{"tcp", "udp"} {
		networktest.Serve(t, a, network, ":8080", "a")
		got := networktest.MustAsk(t, b, network, a.at(8080))
		if want := (networktest.Answer{Server: "a", From: b.addrs[0].String()}); got != want {
			t.Errorf("%s: got %v, want %v", network, got, want)
		}
	}
}

func TestHostReachesPodFromTheNodesAddress(t *testing.T) {
	f := start(t)
	p := f.pod()
	networktest.Serve(t, p, "tcp", ":8080", "p")
	got := networktest.MustAsk(t, networktest.Node{T: t}, "tcp", p.at(8080))
	if want := (networktest.Answer{Server: "p", From: "10.42.0.1"}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPodReachesHost(t *testing.T) {
	f := start(t)
	p := f.pod()
	networktest.Serve(t, networktest.Node{T: t}, "tcp", "0.0.0.0:7000", "host")
	for _, address := range []string{"10.42.0.1:7000", "192.0.2.10:7000"} {
		got := networktest.MustAsk(t, p, "tcp", address)
		if want := (networktest.Answer{Server: "host", From: p.addrs[0].String()}); got != want {
			t.Errorf("%s: got %v, want %v", address, got, want)
		}
	}
}

func TestPodReachesItselfByLoopback(t *testing.T) {
	f := start(t)
	p := f.pod()
	networktest.Serve(t, p, "tcp", "127.0.0.1:8080", "p")
	networktest.MustAsk(t, p, "tcp", "127.0.0.1:8080")
}

func TestTrafficOutOfTheClusterHasTheNodesAddress(t *testing.T) {
	f := start(t)
	p := f.pod()
	outside := networktest.Outside(t, "out0", "198.51.100.1/24", "198.51.100.2/24")
	networktest.Serve(t, outside, "tcp", ":80", "outside")
	got := networktest.MustAsk(t, p, "tcp", "198.51.100.2:80")
	if want := (networktest.Answer{Server: "outside", From: "198.51.100.1"}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDualStackPodHasBothFamilies(t *testing.T) {
	f := start(t, "10.42.0.0/24", "fd42::/64")
	a, b := f.pod(), f.pod()
	if len(a.addrs) != 2 || !a.addrs[0].Is4() || !a.addrs[1].Is6() {
		t.Fatalf("addresses %v, want one of each family, IPv4 first", a.addrs)
	}
	networktest.Serve(t, a, "tcp6", "[::]:8080", "a")
	networktest.Serve(t, networktest.Node{T: t}, "tcp6", "[::]:7000", "host")
	got := networktest.MustAsk(t, b, "tcp6", netip.AddrPortFrom(a.addrs[1], 8080).String())
	if want := (networktest.Answer{Server: "a", From: b.addrs[1].String()}); got != want {
		t.Errorf("pod to pod: got %v, want %v", got, want)
	}
	networktest.MustAsk(t, b, "tcp6", "[fd42::1]:7000")
	networktest.MustAsk(t, networktest.Node{T: t}, "tcp6", netip.AddrPortFrom(a.addrs[1], 8080).String())
	outside := networktest.Outside(t, "out0", "2001:db8::1/64", "2001:db8::2/64")
	networktest.Serve(t, outside, "tcp6", "[::]:80", "outside")
	got = networktest.MustAsk(t, b, "tcp6", "[2001:db8::2]:80")
	if want := (networktest.Answer{Server: "outside", From: "2001:db8::1"}); got != want {
		t.Errorf("masquerade: got %v, want %v", got, want)
	}
}
