package networks

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
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
	if err := addAddress(netlink.AddrReplace, link, w.Gateway, w.Subnet.Bits()); err != nil {
		return fmt.Errorf("give bridge %s %s: %w", w.Link, w.Gateway, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("set bridge %s up: %w", w.Link, err)
	}
	// The host's own connections to published ports on its loopback end here.
	return errors.Join(sysctl("net/ipv4/ip_forward"), sysctl("net/ipv4/conf/"+w.Link+"/route_localnet"))
}

func sysctl(name string) error {
	path := "/proc/sys/" + name
	if old, err := os.ReadFile(path); err == nil && string(old) == "1\n" {
		return nil
	}
	if err := os.WriteFile(path, []byte("1"), 0); err != nil {
		return fmt.Errorf("set %s: %w", name, err)
	}
	return nil
}

func addAddress(add func(netlink.Link, *netlink.Addr) error, link netlink.Link, a netip.Addr, bits int) error {
	return add(link, &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, 32)}})
}

// connect makes a container's link: one end on the bridge, the other in its network namespace.
func connect(w *Network, p Place, netnsPath string, defaultRoute bool) error {
	ns, err := netns.GetFromPath(netnsPath)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", netnsPath, err)
	}
	defer ns.Close()
	inside, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("enter network namespace %s: %w", netnsPath, err)
	}
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
	if err := errors.Join(addAddress(inside.AddrAdd, link, p.IP, w.Subnet.Bits()), inside.LinkSetUp(link), inside.LinkSetUp(lo)); err != nil {
		return fmt.Errorf("give %s %s: %w", p.Link, p.IP, err)
	}
	if !defaultRoute {
		return nil
	}
	if err := inside.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: w.Gateway.AsSlice()}); err != nil {
		return fmt.Errorf("add default route by %s: %w", w.Gateway, err)
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
