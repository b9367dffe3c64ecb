package proxy

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"dhow/network/nft"
)

// endpoint is one address and port behind a Service port.
type endpoint struct {
	at                          netip.AddrPort
	ready, serving, terminating bool
	local                       bool
	zones, nodes                []string // hints
}

// usable are the endpoints of a Service port by traffic policy.
type usable struct {
	cluster, local []netip.AddrPort
	// any tells whether the port has endpoints anywhere, reachable by the policy or not.
	any bool
}

// endpointsOf reads the endpoints of one Service port out of the Service's slices, in the order of their addresses.
func endpointsOf(list []*discoveryv1.EndpointSlice, port *corev1.ServicePort, f nft.Family, nodeName string) []endpoint {
	found := map[netip.AddrPort]endpoint{}
	for _, slice := range list {
		number, ok := portOf(slice, port)
		if !ok || !familyOf(slice, f) {
			continue
		}
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			if len(e.Addresses) == 0 {
				continue
			}
			addr, err := netip.ParseAddr(e.Addresses[0])
			if err != nil || !f.Has(addr) {
				continue
			}
			read := readEndpoint(e, netip.AddrPortFrom(addr, number), nodeName)
			if old, twice := found[read.at]; !twice || (!old.ready && read.ready) {
				found[read.at] = read // while slices are rearranged an endpoint can be in two
			}
		}
	}
	all := make([]endpoint, 0, len(found))
	for _, e := range found {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b endpoint) int { return a.at.Compare(b.at) })
	return all
}

func familyOf(slice *discoveryv1.EndpointSlice, f nft.Family) bool {
	if f.Bits == 32 {
		return slice.AddressType == discoveryv1.AddressTypeIPv4
	}
	return slice.AddressType == discoveryv1.AddressTypeIPv6
}

// portOf finds a Service port in a slice by its name.
func portOf(slice *discoveryv1.EndpointSlice, port *corev1.ServicePort) (uint16, bool) {
	for _, p := range slice.Ports {
		if p.Port == nil || deref(p.Name, "") != port.Name {
			continue
		}
		if deref(p.Protocol, corev1.ProtocolTCP) != protocolOf(port) {
			continue
		}
		return uint16(*p.Port), true
	}
	return 0, false
}

func readEndpoint(e *discoveryv1.Endpoint, at netip.AddrPort, nodeName string) endpoint {
	read := endpoint{
		at:          at,
		ready:       deref(e.Conditions.Ready, true),
		serving:     deref(e.Conditions.Serving, true),
		terminating: deref(e.Conditions.Terminating, false),
		local:       deref(e.NodeName, "") == nodeName,
	}
	if e.Hints != nil {
		for _, z := range e.Hints.ForZones {
			read.zones = append(read.zones, z.Name)
		}
		for _, n := range e.Hints.ForNodes {
			read.nodes = append(read.nodes, n.Name)
		}
	}
	return read
}

func deref[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// choose sorts endpoints by traffic policy: ready ones, near ones where hints say so, and if there are none those
// that still serve while they terminate (KEP-1669, KEP-2433).
func choose(all []endpoint, self node) usable {
	near := nearness(all, self)
	u := usable{
		cluster: pick(all, func(e endpoint) bool { return e.ready && near(e) }),
		local:   pick(all, func(e endpoint) bool { return e.ready && e.local }),
	}
	last := func(e endpoint) bool { return e.serving && e.terminating }
	if len(u.cluster) == 0 {
		u.cluster = pick(all, last)
	}
	if len(u.local) == 0 {
		u.local = pick(all, func(e endpoint) bool { return last(e) && e.local })
	}
	u.any = len(u.cluster) > 0 || len(u.local) > 0
	return u
}

func pick(all []endpoint, want func(endpoint) bool) []netip.AddrPort {
	var picked []netip.AddrPort
	for _, e := range all {
		if want(e) {
			picked = append(picked, e.at)
		}
	}
	return picked
}

// nearness returns which endpoints this node may use: hints count only if every ready endpoint has one and one is
// for this node or zone.
func nearness(all []endpoint, self node) func(endpoint) bool {
	ready := slices.DeleteFunc(slices.Clone(all), func(e endpoint) bool { return !e.ready })
	byNode := func(e endpoint) []string { return e.nodes }
	byZone := func(e endpoint) []string { return e.zones }
	for _, hint := range []struct {
		of   func(endpoint) []string
		mine string
	}{{byNode, self.name}, {byZone, self.zone}} {
		if hint.mine != "" && hinted(ready, hint.of, hint.mine) {
			return func(e endpoint) bool { return slices.Contains(hint.of(e), hint.mine) }
		}
	}
	return func(endpoint) bool { return true }
}

func hinted(ready []endpoint, hint func(endpoint) []string, mine string) bool {
	forMe := false
	for _, e := range ready {
		if len(hint(e)) == 0 {
			return false
		}
		forMe = forMe || slices.Contains(hint(e), mine)
	}
	return forMe
}
