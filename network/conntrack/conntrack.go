// Package conntrack makes the kernel forget connections whose destination it changed. It decides nothing.
package conntrack

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"dhow/network/nft"
)

// attempts at reading a table that changes while it is read.
const attempts = 5

// Flow is one tracked connection as far as destination NAT is concerned.
type Flow struct {
	Protocol byte
	// To and Port are what the first packet was sent to.
	To   netip.Addr
	Port uint16
	// Target and TargetPort are where it went: the same if the destination was not changed.
	Target     netip.Addr
	TargetPort uint16
}

// filter adapts a predicate to the netlink library.
type filter func(Flow) bool

func (f filter) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	if flow.Forward.Protocol != nft.UDP {
		return false
	}
	return f(Flow{
		Protocol: flow.Forward.Protocol,
		To:       addr(flow.Forward.DstIP), Port: flow.Forward.DstPort,
		Target: addr(flow.Reverse.SrcIP), TargetPort: flow.Reverse.SrcPort,
	})
}

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// Delete forgets the UDP flows that match. Connections of other protocols end by themselves and are left alone.
func Delete(f nft.Family, match func(Flow) bool) error {
	family := netlink.InetFamily(netlink.FAMILY_V4)
	if f.Bits == 128 {
		family = netlink.FAMILY_V6
	}
	var err error
	for range attempts {
		_, err = netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, filter(match))
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("delete %s connection tracking entries: %w", f.Name, err)
	}
	return nil
}
