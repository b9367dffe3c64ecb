package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/network/networktest"
	"dhow/network/nft"
)

// loopbackVia makes the calling thread's namespace send 127.0.0.1 out by a link.
func loopbackVia(link string) error {
	l, err := netlink.LinkByName(link)
	if err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.AddrDel(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)}}); err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: single(netip.MustParseAddr("127.0.0.1")),
		Gw: netip.MustParseAddr("10.42.0.1").AsSlice(), Flags: int(netlink.FLAG_ONLINK)})
}

func TestAttachWaitsForThePodCIDR(t *testing.T) {
	n, err := New(Config{StateDir: t.TempDir(), Name: "nt"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = n.Attach(ctx, "a", "/proc/self/ns/net", &cri.PodSandboxConfig{})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "wait for this node's pod CIDR") {
		t.Errorf("got %v", err)
	}
}

func TestDetachRemovesTheLinkOfANamespaceThatLivesOn(t *testing.T) {
	f := start(t)
	p := f.pod()
	networktest.Serve(t, p, "tcp", ":8080", "p")
	if err := f.Detach(f.limit(), p.id); err != nil {
		t.Fatal(err)
	}
	if _, err := networktest.Ask(networktest.Node{T: t}, "tcp", p.at(8080)); !errors.Is(err, unix.EHOSTUNREACH) {
		t.Errorf("host to detached pod: got %v, want no route to host", err)
	}
	eventually(t, "link is gone", func() bool { return !hasLink(linkName("nt", p.id)) })
	if err := f.Detach(f.limit(), p.id); err != nil {
		t.Errorf("detach again: %v", err)
	}
}

// The kernel drops what is sent by a link until it has noticed that the other end is up.
func TestAPodIsReachedByTheFirstPacket(t *testing.T) {
	f := start(t)
	for range 30 {
		p := f.pod()
		networktest.Serve(t, p, "udp", ":8080", "p")
		networktest.MustAsk(t, networktest.Node{T: t}, "udp", p.at(8080))
		if err := f.Detach(f.limit(), p.id); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFailedAttachLeavesNothing(t *testing.T) {
	f := start(t)
	_, err := f.Attach(f.limit(), "bad", "/proc/self/ns/nothing", &cri.PodSandboxConfig{})
	if err == nil || !strings.Contains(err.Error(), "/proc/self/ns/nothing") {
		t.Fatalf("got %v", err)
	}
	files, err := os.ReadDir(f.config.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 || files[0].Name() != nodeFile {
		t.Errorf("state directory holds %v", files)
	}
}

func TestAttachTwiceKeepsTheAddress(t *testing.T) {
	f := start(t)
	p := f.pod()
	again, err := f.Attach(f.limit(), p.id, p.Path(), &cri.PodSandboxConfig{})
	if err != nil || !slices.Equal(again, p.addrs) {
		t.Errorf("got %v, %v; want %v", again, err, p.addrs)
	}
	networktest.Serve(t, p, "tcp", ":8080", "p")
	networktest.MustAsk(t, networktest.Node{T: t}, "tcp", p.at(8080))
}

func TestRestartKeepsPodsAndTheirPorts(t *testing.T) {
	f := start(t)
	p := f.pod(mapping(cri.Protocol_TCP, 9000, 8080, ""))
	networktest.Serve(t, p, "tcp", ":8080", "p")
	gone := f.pod()
	if err := f.Detach(f.limit(), gone.id); err != nil {
		t.Fatal(err)
	}
	f.stop()
	networktest.MustAsk(t, networktest.Node{T: t}, "tcp", "192.0.2.10:9000")
	f.run("10.42.0.0/24")
	networktest.MustAsk(t, networktest.Node{T: t}, "tcp", "192.0.2.10:9000")
	next := f.pod()
	if next.addrs[0] == p.addrs[0] || next.addrs[0] == gone.addrs[0] {
		t.Errorf("new pod has %v, which was just in use", next.addrs)
	}
	eventually(t, "the detached pod's link is gone", func() bool { return !hasLink(linkName("nt", gone.id)) })
	if !hasLink(linkName("nt", p.id)) {
		t.Error("the living pod's link is gone")
	}
}

func TestOtherPodCIDRMovesTheNodesAddress(t *testing.T) {
	f := start(t)
	if err := f.SetPodCIDRs(f.limit(), prefixes("10.42.1.0/24")); err != nil {
		t.Fatal(err)
	}
	addrs, err := f.NodeAddresses(f.limit())
	if err != nil || !slices.Equal(addrs, []netip.Addr{netip.MustParseAddr("10.42.1.1")}) {
		t.Errorf("node addresses %v, %v", addrs, err)
	}
	link, err := netlink.LinkByName("nt0")
	if err != nil {
		t.Fatal(err)
	}
	list, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil || len(list) != 1 || list[0].IPNet.String() != "10.42.1.1/32" {
		t.Errorf("nt0 has %v, %v", list, err)
	}
}

func TestRepairMakesTheNodesObjectsAgain(t *testing.T) {
	f := start(t)
	p := f.pod()
	link, err := netlink.LinkByName("nt0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	if err := dropTables(f.config); err != nil {
		t.Fatal(err)
	}
	if err := f.repair(); err != nil {
		t.Fatal(err)
	}
	networktest.Serve(t, networktest.Node{T: t}, "tcp", "0.0.0.0:7000", "host")
	networktest.MustAsk(t, p, "tcp", "10.42.0.1:7000")
	if there, err := new(nft.Socket).TableExists(nft.V4(), "nt"); err != nil || !there {
		t.Errorf("table there: %v, %v", there, err)
	}
}

// host describes what a Network may leave on the machine.
func host(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		fmt.Fprintln(&b, "link", l.Attrs().Name)
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes {
			if r.Dst.IP.IsLinkLocalUnicast() {
				continue // the kernel's own, which come late and with forwarding
			}
			fmt.Fprintln(&b, "route", r.Dst, r.Type, r.Table)
		}
	}
	for _, f := range []nft.Family{nft.V4(), nft.V6()} {
		there, err := new(nft.Socket).TableExists(f, "nt")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, "table", f.Name, there)
	}
	return b.String()
}

func TestResetLeavesNothing(t *testing.T) {
	eventually(t, "earlier tests' links have gone", func() bool { return !strings.Contains(host(t), "link nt") })
	before := host(t)
	f := start(t, "10.42.0.0/24", "fd42::/64")
	f.pod(mapping(cri.Protocol_TCP, 9000, 8080, ""))
	f.pod()
	f.stop()
	if err := Reset(f.config); err != nil {
		t.Fatal(err)
	}
	after := ""
	defer func() {
		if after != before {
			t.Logf("before:\n%s\nafter:\n%s", before, after)
		}
	}()
	eventually(t, "all is as before", func() bool { // the kernel takes links and routes away in the background
		after = host(t)
		return after == before
	})
	if _, err := os.Stat(f.config.StateDir); !os.IsNotExist(err) {
		t.Errorf("state directory: %v", err)
	}
	if err := Reset(f.config); err != nil {
		t.Errorf("reset of nothing: %v", err)
	}
}

func TestResetLeavesLinksOfALongerNameAlone(t *testing.T) {
	for name, want := range map[string]bool{
		"dhow01234567": true, "dhowab01234567": false, "dhow0": false, "dhow0123456": false, "dhow0123456z": false, "eth0": false,
	} {
		if got := isPodLink("dhow", name); got != want {
			t.Errorf("isPodLink(dhow, %s) = %v", name, got)
		}
	}
}
