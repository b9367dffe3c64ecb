package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// node makes the node's own objects: its link, addresses, routes and sysctls.
type node struct {
	host         *netlink.Handle
	name         string
	serviceCIDRs []netip.Prefix
	ipv6         bool
}

func (n node) linkName() string { return n.name + "0" }

// enableForwarding makes the machine a router. Reverse path filters stay as they are: every pod's route goes
// back by the link that its packets come from.
func (n node) enableForwarding() error {
	if err := setSysctl("net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	if !n.ipv6 {
		return nil
	}
	if err := keepRouterAdvertisements(); err != nil {
		return err
	}
	return setSysctl("net/ipv6/conf/all/forwarding", "1")
}

// keepRouterAdvertisements lets links that learn their default route from a router go on doing so: once
// forwarding is on, the kernel wants accept_ra 2 for that (ip-sysctl.rst).
func keepRouterAdvertisements() error {
	files, err := filepath.Glob("/proc/sys/net/ipv6/conf/*/accept_ra")
	if err != nil {
		return fmt.Errorf("list IPv6 links: %w", err)
	}
	for _, file := range files {
		value, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(value)) != "1" {
			continue // gone again, or not wanted
		}
		if err := setSysctl(strings.TrimPrefix(file, "/proc/sys/"), "2"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// ensureLink returns the node's link, up: a dummy link, or on kernels without those a bridge without ports.
func (n node) ensureLink() (netlink.Link, error) {
	link, err := n.host.LinkByName(n.linkName())
	if isGone(err) {
		link, err = n.addLink()
	}
	if err != nil {
		return nil, fmt.Errorf("add link %s: %w", n.linkName(), err)
	}
	if link.Attrs().Flags&net.FlagUp == 0 {
		if err := n.host.LinkSetUp(link); err != nil {
			return nil, fmt.Errorf("set link %s up: %w", n.linkName(), err)
		}
	}
	return link, nil
}

func (n node) addLink() (netlink.Link, error) {
	attrs := netlink.LinkAttrs{Name: n.linkName(), TxQLen: -1}
	err := n.host.LinkAdd(&netlink.Dummy{LinkAttrs: attrs})
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = n.host.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})
	}
	if err != nil {
		return nil, err
	}
	return n.host.LinkByName(n.linkName())
}

// apply gives the node the first address of each pod CIDR, and only those. It tells whether an address was missing:
// then the kernel has dropped the pods' routes too, which name it as their source.
func (n node) apply(podCIDRs []netip.Prefix) (bool, error) {
	link, err := n.ensureLink()
	if err != nil {
		return false, err
	}
	missing, err := n.applyAddresses(link, podCIDRs)
	if err != nil {
		return false, err
	}
	if err := n.routeServices(link, podCIDRs); err != nil {
		return false, err
	}
	for _, p := range podCIDRs {
		// What no pod has is answered at once, not sent to the default route.
		if err := n.host.RouteReplace(unreachable(p)); err != nil {
			return false, fmt.Errorf("add unreachable route for %s: %w", p, err)
		}
	}
	return missing, nil
}

func (n node) applyAddresses(link netlink.Link, podCIDRs []netip.Prefix) (bool, error) {
	missing := map[string]netip.Addr{}
	for _, p := range podCIDRs {
		missing[single(nodeAddress(p)).String()] = nodeAddress(p)
	}
	present, err := n.host.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return false, fmt.Errorf("list addresses of %s: %w", n.linkName(), err)
	}
	for _, a := range present {
		if _, ok := missing[a.IPNet.String()]; ok {
			delete(missing, a.IPNet.String())
		} else if !a.IP.IsLinkLocalUnicast() {
			if err := n.host.AddrDel(link, &a); err != nil {
				return false, fmt.Errorf("remove address %s of %s: %w", a.IPNet, n.linkName(), err)
			}
		}
	}
	for _, addr := range missing {
		if err := n.host.AddrAdd(link, &netlink.Addr{IPNet: single(addr), Flags: unix.IFA_F_NODAD}); err != nil {
			return false, fmt.Errorf("give %s the address %s: %w", n.linkName(), addr, err)
		}
	}
	return len(missing) > 0, nil
}

// routeServices gives the host's own connections to services a route and a source address; what the service
// proxy does not redirect ends on the link.
func (n node) routeServices(link netlink.Link, podCIDRs []netip.Prefix) error {
	for _, services := range n.serviceCIDRs {
		for _, pods := range podCIDRs {
			if services.Addr().Is4() != pods.Addr().Is4() {
				continue
			}
			route := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: network(services), Src: nodeAddress(pods).AsSlice()}
			if services.Addr().Is4() {
				route.Scope = unix.RT_SCOPE_LINK
			}
			if err := n.host.RouteReplace(route); err != nil {
				return fmt.Errorf("route services %s to %s: %w", services, n.linkName(), err)
			}
		}
	}
	return nil
}

// retract removes what does not go with the node's link.
func (n node) retract(podCIDRs []netip.Prefix) error {
	for _, p := range podCIDRs {
		if err := n.host.RouteDel(unreachable(p)); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove unreachable route for %s: %w", p, err)
		}
	}
	return nil
}

func unreachable(p netip.Prefix) *netlink.Route {
	return &netlink.Route{Type: unix.RTN_UNREACHABLE, Dst: network(p)}
}
