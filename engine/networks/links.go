package networks

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"dhow/internal/carrier"
)

// hostLink names the host's end of a container's link.
func hostLink(name, container, network string) string {
	sum := sha256.Sum256([]byte(container + network))
	return name + "v" + hex.EncodeToString(sum[:4])
}

// routes are the networks that this machine knows a way to, but for the default.
func routes() ([]netip.Prefix, error) {
	all, err := netlink.RouteList(nil, unix.AF_INET)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	var found []netip.Prefix
	for _, r := range all {
		if r.Dst == nil {
			continue
		}
		a, ok := netip.AddrFromSlice(r.Dst.IP.To4())
		if bits, _ := r.Dst.Mask.Size(); ok && bits > 0 {
			found = append(found, netip.PrefixFrom(a, bits))
		}
	}
	return found, nil
}

// ensureBridge makes a network's bridge, and the machine a router.
func ensureBridge(w *Network) error {
	link, err := netlink.LinkByName(w.Link)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = w.Link
		if w.MTU > 0 {
			attrs.MTU = w.MTU
		}
		link = &netlink.Bridge{LinkAttrs: attrs}
		err = netlink.LinkAdd(link)
	}
	if err != nil {
		return fmt.Errorf("make bridge %s of network %s: %w", w.Link, w.Name, err)
	}
	for _, a := range w.at(w.Gateway, w.Gateway6) {
		if err := addAddress(netlink.AddrReplace, link, a); err != nil {
			return fmt.Errorf("give bridge %s %s: %w", w.Link, a, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set bridge %s up: %w", w.Link, err)
	}
	// The host's own connections to published ports on its loopback end here.
	err = errors.Join(sysctl("net/ipv4/ip_forward", "1"), sysctl("net/ipv4/conf/"+w.Link+"/route_localnet", "1"))
	if w.Subnet6.IsValid() {
		err = errors.Join(err, forward6())
	}
	return err
}

// at puts a network's lengths to an address of each family that the network has.
func (w *Network) at(ip, ip6 netip.Addr) []netip.Prefix {
	all := []netip.Prefix{netip.PrefixFrom(ip, w.Subnet.Bits())}
	if ip6.IsValid() {
		all = append(all, netip.PrefixFrom(ip6, w.Subnet6.Bits()))
	}
	return all
}

// forward6 makes the machine a router of IPv6, one that goes on learning its own routes from other routers: the kernel
// wants accept_ra 2 for that (ip-sysctl.rst).
func forward6() error {
	files, err := filepath.Glob("/proc/sys/net/ipv6/conf/*/accept_ra")
	if err != nil {
		return err
	}
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && string(data) == "1\n" {
			err = os.WriteFile(file, []byte("2"), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) { // the link may just have gone
				return err
			}
		}
	}
	return sysctl("net/ipv6/conf/all/forwarding", "1")
}

func sysctl(name, value string) error {
	path := "/proc/sys/" + name
	if old, err := os.ReadFile(path); err == nil && string(old) == value+"\n" {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}

// addAddress gives a link an address. An IPv6 address is used at once: nobody else can have it.
func addAddress(add func(netlink.Link, *netlink.Addr) error, link netlink.Link, a netip.Prefix) error {
	address := &netlink.Addr{IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}}
	if a.Addr().Is6() {
		address.Flags = unix.IFA_F_NODAD
	}
	return add(link, address)
}

// enter opens a network namespace, and a handle on what is in it.
func enter(path string) (ns netns.NsHandle, inside *netlink.Handle, err error) {
	if ns, err = netns.GetFromPath(path); err != nil {
		return ns, nil, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	if inside, err = netlink.NewHandleAt(ns, unix.NETLINK_ROUTE); err != nil {
		ns.Close()
		return ns, nil, fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return ns, inside, nil
}

// connect makes a container's link: one end on the bridge, the other in its network namespace.
func connect(w *Network, p Place, netnsPath string, defaultRoute bool) error {
	ns, inside, err := enter(netnsPath)
	if err != nil {
		return err
	}
	defer ns.Close()
	defer inside.Close()
	bridge, err := netlink.LinkByName(w.Link)
	if err != nil {
		return fmt.Errorf("bridge of network %s: %w", w.Name, err)
	}
	mac, err := net.ParseMAC(p.MAC)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex, attrs.Flags, attrs.MTU = p.Host, bridge.Attrs().Index, net.FlagUp, bridge.Attrs().MTU
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: p.Link, PeerHardwareAddr: mac, PeerNamespace: netlink.NsFd(ns), PeerMTU: uint32(bridge.Attrs().MTU)}
	if err := errors.Join(deleteLink(p.Host), netlink.LinkAdd(veth)); err != nil {
		return fmt.Errorf("connect to network %s: %w", w.Name, err)
	}
	link, err := inside.LinkByName(p.Link)
	if err != nil {
		return fmt.Errorf("connect to network %s: %w", w.Name, err)
	}
	lo := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: 1}} // loopback's index in every namespace
	for _, a := range w.at(p.IP, p.IP6) {
		if err := addAddress(inside.AddrAdd, link, a); err != nil {
			return fmt.Errorf("give %s %s: %w", p.Link, a, err)
		}
	}
	if err := errors.Join(inside.LinkSetUp(link), inside.LinkSetUp(lo)); err != nil {
		return fmt.Errorf("set %s up: %w", p.Link, err)
	}
	for _, index := range []int{veth.Index, bridge.Attrs().Index} { // a bridge has no carrier before its first port has
		if err := carrier.Await(netlink.LinkByIndex, index); err != nil {
			return err
		}
	}
	if !defaultRoute {
		return nil
	}
	return addDefault(inside, w, link)
}

// announce tells the neighbours a container's address (RFC 5227, ARP announcement): one that had it before it may have
// had another MAC.
func announce(w *Network, p Place) error {
	bridge, err := net.InterfaceByName(w.Link)
	if err != nil {
		return err
	}
	mac, err := net.ParseMAC(p.MAC)
	if err != nil || len(mac) != 6 {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	all := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	ip := p.IP.AsSlice()
	frame := slices.Concat(all, mac, []byte{0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1}, mac, ip, []byte{0, 0, 0, 0, 0, 0}, ip)
	to := &unix.SockaddrLinklayer{Ifindex: bridge.Index, Halen: 6}
	copy(to.Addr[:], all)
	return unix.Sendto(fd, frame, 0, to)
}

// leadOut gives a container its way out by one of its networks, if it has none.
func leadOut(w *Network, p Place, netnsPath string) error {
	ns, inside, err := enter(netnsPath)
	if err != nil {
		return err
	}
	defer ns.Close()
	defer inside.Close()
	link, err := inside.LinkByName(p.Link)
	if err != nil {
		return fmt.Errorf("way out by network %s: %w", w.Name, err)
	}
	return addDefault(inside, w, link)
}

func addDefault(inside *netlink.Handle, w *Network, link netlink.Link) error {
	for _, a := range w.at(w.Gateway, w.Gateway6) {
		err := inside.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: a.Addr().AsSlice()})
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("add default route by %s: %w", a.Addr(), err)
		}
	}
	return nil
}

// deleteLink removes a link; one that is gone is no error.
func deleteLink(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	var missing netlink.LinkNotFoundError
	if err != nil && !errors.As(err, &missing) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}
