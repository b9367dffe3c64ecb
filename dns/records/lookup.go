package records

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// PodMode says which pod records there are.
type PodMode int

// Pod records may be answered not at all, for every address, or for addresses that a pod of the namespace has.
const (
	PodsDisabled PodMode = iota
	PodsInsecure
	PodsVerified
)

// View is what a server block shows of the cluster.
type View struct {
	// Domain is the zone, in lower case and with a final dot: "cluster.local.".
	Domain string
	TTL    uint32
	Pods   PodMode
	// PodNames names endpoints without a hostname after their pod, not their address.
	PodNames bool
	// Exposed says whether a namespace with these labels is shown; nil: all are.
	Exposed func(namespace string, labels map[string]string) bool
	// IgnoreEmpty takes headless Services and cluster IPs without a ready endpoint for missing.
	IgnoreEmpty bool
	// NoEndpoints shows none.
	NoEndpoints bool
	// Server is the address of the DNS service, which ns.dns.<Domain> stands for.
	Server []netip.Addr
}

// Answer is what there is to say to one question.
type Answer struct {
	Records, Extra []dns.RR
	// Exists: the name does, though perhaps not with a record of the type asked for.
	Exists bool
	// Alias is the name that an ExternalName stands for, which the asker may look up for itself.
	Alias string
}

// question is one while it is being answered.
type question struct {
	*Index
	*View
	owner  string // the name as it was asked for
	asked  uint16
	answer Answer
}

// Lookup answers for a name within the domain. relative is the name in lower case without the domain, owner the
// name as it was asked for.
func (x *Index) Lookup(v *View, relative, owner string, asked uint16) Answer {
	q := &question{Index: x, View: v, owner: owner, asked: asked}
	x.mu.RLock()
	defer x.mu.RUnlock()
	labels := strings.Split(relative, ".")
	last := len(labels) - 1
	switch {
	case relative == "":
		q.answer.Exists = true
	case labels[last] == "svc":
		q.underServices(labels[:last])
	case labels[last] == "pod":
		q.underPods(labels[:last])
	case relative == "dns-version":
		q.answer.Exists = true
		if asked == dns.TypeTXT {
			q.add(&dns.TXT{Hdr: q.header(owner, dns.TypeTXT), Txt: []string{"1.1.0"}})
		}
	case relative == "dns":
		q.answer.Exists = true
	case relative == "ns.dns":
		q.addresses(v.Server)
	}
	return q.answer
}

// underServices: [[endpoint.]service.]namespace, or _port._protocol.service.namespace.
func (q *question) underServices(labels []string) {
	n := len(labels)
	if n == 0 {
		q.answer.Exists = true
		return
	}
	namespace := labels[n-1]
	if !q.shows(namespace) {
		return
	}
	if n == 1 {
		q.answer.Exists = true
		return
	}
	at := name{namespace, labels[n-2]}
	s := q.services[at]
	if s == nil || (q.IgnoreEmpty && s.external == "" && len(q.endpoints[at]) == 0) {
		return
	}
	switch {
	case n == 2:
		q.service(at, s)
	case n == 3 && strings.HasPrefix(labels[0], "_"):
		q.answer.Exists = q.hasProtocol(at, s, labels[0][1:]) // an empty name above _port
	case n == 3:
		q.endpoint(at, labels[0])
	case n == 4 && strings.HasPrefix(labels[0], "_") && strings.HasPrefix(labels[1], "_"):
		q.srv(at, s, labels[0][1:], labels[1][1:])
	}
}

func (q *question) shows(namespace string) bool {
	labels, known := q.namespaces[namespace]
	return known && (q.Exposed == nil || q.Exposed(namespace, labels))
}

func (q *question) service(at name, s *service) {
	switch {
	case s.external != "":
		q.external(s)
	case q.asked == dns.TypeSRV:
		q.srv(at, s, "", "")
	case s.headless:
		var all []netip.Addr
		for _, e := range q.endpointsOf(at) {
			all = append(all, e.addresses...)
		}
		if len(all) > 0 || !q.NoEndpoints {
			q.addresses(all)
		}
	default:
		q.addresses(s.addresses)
	}
}

// external is a CNAME, or an address where somebody wrote one for a name.
func (q *question) external(s *service) {
	if a, err := netip.ParseAddr(s.external); err == nil {
		q.addresses([]netip.Addr{a.Unmap()})
		return
	}
	q.answer.Exists = true
	q.answer.Alias = dns.Fqdn(s.external)
	q.add(&dns.CNAME{Hdr: q.header(q.owner, dns.TypeCNAME), Target: q.answer.Alias})
}

// endpointsOf a Service, each name and address once, in order of their first address.
func (q *question) endpointsOf(at name) []endpoint {
	if q.NoEndpoints {
		return nil
	}
	var all []endpoint
	for _, slice := range q.endpoints[at] {
		all = append(all, slice...)
	}
	slices.SortStableFunc(all, func(a, b endpoint) int { return slices.CompareFunc(a.addresses, b.addresses, netip.Addr.Compare) })
	return all
}

func (q *question) endpoint(at name, host string) {
	var all []netip.Addr
	for _, e := range q.endpointsOf(at) {
		for _, a := range e.addresses {
			if q.nameOf(&e, a) == host || dashed(a) == host {
				all = append(all, a)
			}
		}
	}
	if len(all) > 0 {
		q.addresses(all)
	}
}

// nameOf an endpoint below its Service.
func (v *View) nameOf(e *endpoint, a netip.Addr) string {
	if e.hostname != "" {
		return e.hostname
	}
	if v.PodNames && e.pod != "" && len(e.pod) < 64 {
		return e.pod
	}
	return dashed(a)
}

// dashed is an address as a label.
func dashed(a netip.Addr) string { return strings.NewReplacer(".", "-", ":", "-").Replace(a.String()) }

func (q *question) hasProtocol(at name, s *service, protocol string) bool {
	is := func(p port) bool { return p.protocol == protocol }
	if !s.headless {
		return slices.ContainsFunc(s.ports, is)
	}
	return slices.ContainsFunc(q.endpointsOf(at), func(e endpoint) bool { return slices.ContainsFunc(e.ports, is) })
}

// target is one place that a Service can be reached at.
type target struct {
	host string
	port uint16
	addr netip.Addr
}

// srv answers for a port of a protocol; for all of them when both are empty.
func (q *question) srv(at name, s *service, portName, protocol string) {
	var all []target
	below := at.name + "." + at.namespace + ".svc." + q.Domain
	wanted := func(p port) bool { return protocol == "" || (p.name == portName && p.protocol == protocol) }
	if s.headless {
		for _, e := range q.endpointsOf(at) {
			for _, p := range e.ports {
				for _, a := range e.addresses {
					if wanted(p) {
						all = append(all, target{q.nameOf(&e, a) + "." + below, p.number, a})
					}
				}
			}
		}
	} else {
		for _, p := range s.ports {
			for _, a := range s.addresses {
				if wanted(p) {
					all = append(all, target{below, p.number, a})
				}
			}
		}
	}
	q.answer.Exists = protocol == "" || len(all) > 0
	if q.asked == dns.TypeSRV {
		q.targets(all)
	}
}

func (q *question) targets(all []target) {
	type place struct {
		host string
		port uint16
	}
	seen := map[place]bool{}
	addressed := map[target]bool{}
	for _, t := range all {
		seen[place{t.host, t.port}] = true
	}
	weight := uint16(max(1, 100/max(1, len(seen))))
	clear(seen)
	for _, t := range all {
		if at := (place{t.host, t.port}); !seen[at] {
			seen[at] = true
			q.add(&dns.SRV{Hdr: q.header(q.owner, dns.TypeSRV), Weight: weight, Port: t.port, Target: t.host})
		}
		t.port = 0
		if !addressed[t] {
			addressed[t] = true
			q.answer.Extra = append(q.answer.Extra, q.address(t.host, t.addr))
		}
	}
}

// underPods: [address-with-dashes.]namespace.
func (q *question) underPods(labels []string) {
	if q.Pods == PodsDisabled {
		return
	}
	n := len(labels)
	if n == 0 {
		q.answer.Exists = true
		return
	}
	namespace := labels[n-1]
	if n > 2 || !q.shows(namespace) {
		return
	}
	if n == 1 {
		q.answer.Exists = true
		return
	}
	a, ok := undashed(labels[0])
	if !ok || (q.Pods == PodsVerified && q.pods[podAddress{namespace, a}] == 0) {
		return
	}
	q.addresses([]netip.Addr{a})
}

func undashed(label string) (netip.Addr, bool) {
	text := strings.ReplaceAll(label, "-", ".")
	if strings.Count(label, "-") != 3 || strings.Contains(label, "--") {
		text = strings.ReplaceAll(label, "-", ":")
	}
	a, err := netip.ParseAddr(text)
	return a.Unmap(), err == nil
}

// addresses answers with those of the family asked for. The name exists in any case.
func (q *question) addresses(all []netip.Addr) {
	q.answer.Exists = true
	seen := map[netip.Addr]bool{}
	for _, a := range all {
		wanted := (q.asked == dns.TypeA && a.Is4()) || (q.asked == dns.TypeAAAA && a.Is6())
		if wanted && !seen[a] {
			seen[a] = true
			q.add(q.address(q.owner, a))
		}
	}
}

func (q *question) address(owner string, a netip.Addr) dns.RR {
	if a.Is4() {
		return &dns.A{Hdr: q.header(owner, dns.TypeA), A: a.AsSlice()}
	}
	return &dns.AAAA{Hdr: q.header(owner, dns.TypeAAAA), AAAA: a.AsSlice()}
}

func (q *question) add(r dns.RR) { q.answer.Records = append(q.answer.Records, r) }

func (v *View) header(owner string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: kind, Class: dns.ClassINET, Ttl: v.TTL}
}

// Reverse answers for an address of a Service or an endpoint, by PTR records.
func (x *Index) Reverse(v *View, a netip.Addr, owner string) []dns.RR {
	x.mu.RLock()
	defer x.mu.RUnlock()
	q := &question{Index: x, View: v}
	var names []string
	if at, known := x.clusterIPs[a]; known && q.shows(at.namespace) {
		names = append(names, at.name+"."+at.namespace)
	} else if !v.NoEndpoints {
		for at := range x.addresses[a] {
			if q.shows(at.namespace) {
				names = append(names, q.reverse(at, a)...)
			}
		}
	}
	slices.SortFunc(names, cmp.Compare)
	var all []dns.RR
	for _, n := range slices.Compact(names) {
		all = append(all, &dns.PTR{Hdr: v.header(owner, dns.TypePTR), Ptr: n + ".svc." + v.Domain})
	}
	return all
}

func (q *question) reverse(at name, a netip.Addr) []string {
	var names []string
	for _, slice := range q.endpoints[at] {
		for i := range slice {
			if slices.Contains(slice[i].addresses, a) {
				names = append(names, q.nameOf(&slice[i], a)+"."+at.name+"."+at.namespace)
			}
		}
	}
	return names
}
