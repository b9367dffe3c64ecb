package dns

import (
	"context"
	"net/netip"
	"strings"

	"github.com/coredns/coredns/plugin"
	"github.com/coredns/coredns/plugin/pkg/dnsutil"
	"github.com/coredns/coredns/plugin/pkg/fall"
	"github.com/coredns/coredns/plugin/pkg/upstream"
	"github.com/coredns/coredns/request"
	"github.com/miekg/dns"

	"dhow/dns/records"
)

// cluster is the plug-in "kubernetes" of one server block.
type cluster struct {
	next   plugin.Handler
	server *Server
	zones  []string // domains first, reverse zones after
	view   records.View
	fall   fall.F
}

// Name implements plugin.Handler.
func (*cluster) Name() string { return "kubernetes" }

// Ready implements ready.Readiness.
func (k *cluster) Ready() bool { return k.server.synced.Load() }

// ServeDNS implements plugin.Handler.
func (k *cluster) ServeDNS(ctx context.Context, w dns.ResponseWriter, r *dns.Msg) (int, error) {
	state := request.Request{W: w, Req: r}
	zone := plugin.Zones(k.zones).Matches(state.Name())
	if zone == "" {
		return plugin.NextOrFailure(k.Name(), k.next, ctx, w, r)
	}
	if t := state.QType(); t == dns.TypeAXFR || t == dns.TypeIXFR {
		return dns.RcodeRefused, nil
	}
	a := k.answer(state, zone)
	if !a.Exists && k.fall.Through(state.Name()) {
		return plugin.NextOrFailure(k.Name(), k.next, ctx, w, r)
	}
	if a.Alias != "" && (state.QType() == dns.TypeA || state.QType() == dns.TypeAAAA) {
		k.follow(ctx, state, &a)
	}
	m := new(dns.Msg)
	m.SetReply(r)
	m.Authoritative = true
	m.Answer, m.Extra = a.Records, a.Extra
	if !a.Exists {
		m.Rcode = dns.RcodeNameError
	}
	if len(a.Records) == 0 {
		m.Ns = []dns.RR{k.soa(zone)}
	}
	return dns.RcodeSuccess, w.WriteMsg(m)
}

// answer for a name in a zone, which is a domain, a reverse zone or the top of either.
func (k *cluster) answer(state request.Request, zone string) records.Answer {
	name := state.Name()
	switch {
	case name == zone && state.QType() == dns.TypeSOA:
		return records.Answer{Exists: true, Records: []dns.RR{k.soa(zone)}}
	case name == zone && state.QType() == dns.TypeNS:
		return k.nameServer(zone)
	case reverse(zone):
		return k.reverse(state, zone)
	}
	view := k.view
	view.Domain = zone
	relative := strings.TrimSuffix(strings.TrimSuffix(name, zone), ".")
	return k.server.index.Lookup(&view, relative, state.QName(), state.QType())
}

func (k *cluster) reverse(state request.Request, zone string) records.Answer {
	a, err := netip.ParseAddr(dnsutil.ExtractAddressFromReverse(state.Name()))
	if err != nil {
		return records.Answer{Exists: state.Name() == zone}
	}
	found := k.server.index.Reverse(&k.view, a.Unmap(), state.QName())
	if state.QType() != dns.TypePTR {
		return records.Answer{Exists: len(found) > 0}
	}
	return records.Answer{Exists: len(found) > 0, Records: found}
}

// reverse says whether a zone is of addresses.
func reverse(zone string) bool {
	return strings.HasSuffix("."+zone, ".in-addr.arpa.") || strings.HasSuffix("."+zone, ".ip6.arpa.")
}

// follow resolves what an ExternalName stands for, through the whole server.
func (k *cluster) follow(ctx context.Context, state request.Request, a *records.Answer) {
	m, err := upstream.New().Lookup(ctx, state, a.Alias, state.QType())
	if err == nil && m != nil && m.Rcode == dns.RcodeSuccess {
		a.Records = append(a.Records, m.Answer...)
	}
}

// soa is made up, as upstream's: zones have no serial numbers and no transfers.
func (k *cluster) soa(zone string) dns.RR {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: k.view.TTL},
		Ns:  "ns.dns." + zone, Mbox: "hostmaster." + zone,
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: k.view.TTL,
	}
}

func (k *cluster) nameServer(zone string) records.Answer {
	host := "ns.dns." + k.view.Domain
	a := records.Answer{Exists: true, Records: []dns.RR{&dns.NS{
		Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: k.view.TTL}, Ns: host,
	}}}
	for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
		a.Extra = append(a.Extra, k.server.index.Lookup(&k.view, "ns.dns", host, t).Records...)
	}
	return a
}
