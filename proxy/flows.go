package proxy

import (
	"net/netip"
	"slices"

	"dhow/network/conntrack"
	"dhow/network/nft"
)

// flowsChanged tells whether a plan may make the kernel send UDP packets elsewhere than before: then flows that it
// tracks must be forgotten, since they last as long as packets keep coming.
func flowsChanged(old, now *plan) bool {
	for at, endpoints := range now.flows {
		before, ok := old.flows[at]
		if !ok || len(before) == 0 && len(endpoints) > 0 || slices.ContainsFunc(before, missingFrom(endpoints)) {
			return true
		}
	}
	for at := range old.flows {
		if _, ok := now.flows[at]; !ok {
			return true
		}
	}
	return false
}

func missingFrom(list []netip.AddrPort) func(netip.AddrPort) bool {
	return func(a netip.AddrPort) bool { return !slices.Contains(list, a) }
}

// forgetFlows forgets UDP flows to the frontends that do not go to one of their endpoints.
func forgetFlows(f nft.Family, frontends map[frontend][]netip.AddrPort) error {
	if len(frontends) == 0 {
		return nil
	}
	return conntrack.Delete(f, func(flow conntrack.Flow) bool { return stale(f, frontends, flow) })
}

func stale(f nft.Family, frontends map[frontend][]netip.AddrPort, flow conntrack.Flow) bool {
	for _, addr := range []netip.Addr{flow.To, unspecified(f)} {
		endpoints, ok := frontends[frontend{addr: addr, protocol: flow.Protocol, port: flow.Port}]
		if ok {
			return !slices.Contains(endpoints, netip.AddrPortFrom(flow.Target, flow.TargetPort))
		}
	}
	return false
}
