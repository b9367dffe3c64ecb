package network

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"dhow/internal/carrier"
)

const (
	// podLink is the name of a pod's link on its own side.
	podLink = "eth0"
	// hashLength of the part of a link's name that stands for the sandbox.
	hashLength = 8
	// loopbackIndex is the loopback link's index in every network namespace (LOOPBACK_IFINDEX in the kernel).
	loopbackIndex = 1
)

// linkName is the host side's name. All names of one Name have the same length, so names of a Name that another
// begins with are never taken for its own.
func linkName(name, sandboxID string) string {
	sum := sha256.Sum256([]byte(sandboxID))
	return name + hex.EncodeToString(sum[:])[:hashLength]
}

// isPodLink tells whether a link was made by linkName(name, …).
func isPodLink(name, link string) bool {
	hash, ok := strings.CutPrefix(link, name)
	if !ok || len(hash) != hashLength {
		return false
	}
	return strings.Trim(hash, "0123456789abcdef") == ""
}

// hardwareAddr makes a unicast, locally administered MAC for one side of a link.
func hardwareAddr(side byte, link string) net.HardwareAddr {
	sum := sha256.Sum256([]byte(link))
	return append(net.HardwareAddr{0x02, side}, sum[:4]...)
}

// wire is one pod's link: a veth pair without a bridge, so that every packet is routed and filtered by the host.
// Each side knows the other's MAC for good: no ARP, no neighbour discovery, no waiting.
type wire struct {
	name     string
	podMAC   net.HardwareAddr
	hostMAC  net.HardwareAddr
	pods     []netip.Addr
	gateways []netip.Addr // of the same families, in the same order
}

func newWire(name string, pods, gateways []netip.Addr) *wire {
	return &wire{name: name, podMAC: hardwareAddr('p', name), hostMAC: hardwareAddr('h', name), pods: pods, gateways: gateways}
}

// connect makes the pair and both sides' addresses and routes.
func (w *wire) connect(host *netlink.Handle, netnsPath string) error {
	ns, err := netns.GetFromPath(netnsPath)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", netnsPath, err)
	}
	defer ns.Close()
	pod, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("enter network namespace %s: %w", netnsPath, err)
	}
	defer pod.Close()
	veth := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: w.name, HardwareAddr: w.hostMAC, Flags: net.FlagUp, TxQLen: -1},
		PeerName:         podLink,
		PeerHardwareAddr: w.podMAC,
		PeerNamespace:    netlink.NsFd(ns),
	}
	if err := w.add(host, veth); err != nil {
		return err
	}
	if err := w.podSide(pod); err != nil {
		return err
	}
	return w.hostSide(host, veth.Index)
}

// add creates the pair; one that an interrupted attempt left is replaced.
func (w *wire) add(host *netlink.Handle, veth *netlink.Veth) error {
	err := host.LinkAdd(veth)
	if errors.Is(err, unix.EEXIST) {
		if err := deleteLink(host, w.name); err != nil {
			return err
		}
		err = host.LinkAdd(veth)
	}
	if err != nil {
		return fmt.Errorf("add link %s: %w", w.name, err)
	}
	return nil
}

func (w *wire) podSide(pod *netlink.Handle) error {
	if err := pod.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: loopbackIndex}}); err != nil {
		return fmt.Errorf("set pod's loopback up: %w", err)
	}
	link, err := pod.LinkByName(podLink)
	if err != nil {
		return fmt.Errorf("find pod's %s: %w", podLink, err)
	}
	if err := pod.LinkSetUp(link); err != nil {
		return fmt.Errorf("set pod's %s up: %w", podLink, err)
	}
	index := link.Attrs().Index
	for i, addr := range w.pods {
		if err := w.podFamily(pod, index, addr, w.gateways[i]); err != nil {
			return fmt.Errorf("give pod %s: %w", addr, err)
		}
	}
	return nil
}

func (w *wire) podFamily(pod *netlink.Handle, index int, addr, gateway netip.Addr) error {
	own := &netlink.Addr{IPNet: single(addr), Flags: unix.IFA_F_NODAD}
	if err := pod.AddrAdd(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}, own); err != nil {
		return fmt.Errorf("add address: %w", err)
	}
	if err := addNeighbour(pod, index, gateway, w.hostMAC); err != nil {
		return err
	}
	via := &netlink.Route{LinkIndex: index, Gw: gateway.AsSlice(), Flags: int(netlink.FLAG_ONLINK)}
	if err := pod.RouteAdd(via); err != nil {
		return fmt.Errorf("add default route by %s: %w", gateway, err)
	}
	return nil
}

func (w *wire) hostSide(host *netlink.Handle, index int) error {
	// Loopback addresses may be used on this link: connections from the host's 127.0.0.1 to a host port or
	// NodePort end here. The table's guard chain keeps the pod itself from using them.
	if err := setSysctl("net/ipv4/conf/"+w.name+"/route_localnet", "1"); err != nil {
		return err
	}
	for i, addr := range w.pods {
		if err := addNeighbour(host, index, addr, w.podMAC); err != nil {
			return err
		}
		route := &netlink.Route{LinkIndex: index, Dst: single(addr), Scope: unix.RT_SCOPE_LINK, Src: w.gateways[i].AsSlice()}
		if err := host.RouteReplace(route); err != nil {
			return fmt.Errorf("route %s to %s: %w", addr, w.name, err)
		}
	}
	return carrier.Await(host.LinkByIndex, index)
}

func addNeighbour(h *netlink.Handle, index int, ip netip.Addr, mac net.HardwareAddr) error {
	family := unix.AF_INET
	if ip.Is6() {
		family = unix.AF_INET6
	}
	n := &netlink.Neigh{LinkIndex: index, Family: family, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: mac}
	if err := h.NeighSet(n); err != nil {
		return fmt.Errorf("add neighbour %s: %w", ip, err)
	}
	return nil
}

// single is the prefix of one address.
func single(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

func network(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// deleteLink removes a link; one that is gone is no error.
func deleteLink(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err == nil {
		err = h.LinkDel(link)
	}
	if err != nil && !isGone(err) {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}

func isGone(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound) || errors.Is(err, unix.ENODEV)
}

// setSysctl writes below /proc/sys, of the network namespace of the calling thread.
func setSysctl(name, value string) error {
	if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0); err != nil {
		return fmt.Errorf("set %s to %s: %w", strings.ReplaceAll(name, "/", "."), value, err)
	}
	return nil
}
