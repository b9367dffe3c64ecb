package network

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"dhow/network/nft"
)

// rules is the table of one family:
//
//	prerouting  guard        loopback addresses are not for pods
//	prerouting  hostports    destination NAT by the maps "ports" and "ports-at"
//	output      hostports
//	postrouting leave        masquerade
//
// Its destination NAT comes just before the service proxy's: a pod that has a port of the host has it alone.
type rules struct {
	family nft.Family
	name   string
}

// priorityHostPorts is one before dstnat, the service proxy's.
const priorityHostPorts = -101

// sets are the table's sets, as elements refer to them.
type sets struct {
	ports   *nftables.Set // protocol, port → pod address, port
	portsAt *nftables.Set // host address, protocol, port → pod address, port
	hairpin *nftables.Set // pod address twice, of pods that have host ports
}

func (s sets) all() []*nftables.Set { return []*nftables.Set{s.ports, s.portsAt, s.hairpin} }

func (r rules) sets(t *nftables.Table) sets {
	addr, endpoint := r.family.Addr(), []nftables.SetDatatype{r.family.Addr(), nft.Port}
	return sets{
		ports:   nft.NewMap(t, "ports", []nftables.SetDatatype{nft.Proto, nft.Port}, endpoint),
		portsAt: nft.NewMap(t, "ports-at", []nftables.SetDatatype{addr, nft.Proto, nft.Port}, endpoint),
		hairpin: nft.NewSet(t, "hairpin", addr, addr),
	}
}

// replace writes the whole table anew.
func (r rules) replace(b *nft.Batch, clusterCIDRs []netip.Prefix, all map[string]*record) {
	t := b.NewTable(r.family, r.name)
	s := r.sets(t)
	for _, set := range s.all() {
		b.Set(set)
	}
	r.guard(b, t)
	r.redirect(b, t, s)
	r.leave(b, t, s, r.family.Select(clusterCIDRs))
	for _, rec := range all {
		r.fill(s, rec, b.Add)
	}
}

// guard keeps loopback addresses off the pods' links, as the kernel itself would if route_localnet were not on.
func (r rules) guard(b *nft.Batch, t *nftables.Table) {
	loopback := r.family.Loopback()
	c := b.Hook(t, "guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, *nftables.ChainPriorityRaw)
	b.Rule(c, nft.InLink(r.name), r.family.DestinationIn(loopback), nft.Drop())
	b.Rule(c, nft.InLink(r.name), r.family.SourceIn(loopback), nft.Drop())
}

func (r rules) redirect(b *nft.Batch, t *nftables.Table, s sets) {
	common := b.Chain(t, "hostports")
	service := nft.R0 + r.family.Registers()
	target := service + 2
	b.Rule(common, r.family.LoadDestination(nft.R0), nft.LoadService(service), nft.Map(s.portsAt, nft.R0, target),
		r.family.RedirectTo(target))
	b.Rule(common, nft.LoadService(service), nft.Map(s.ports, service, target), r.family.RedirectTo(target))
	for name, hook := range map[string]*nftables.ChainHook{
		"hostports-in": nftables.ChainHookPrerouting, "hostports-out": nftables.ChainHookOutput,
	} {
		c := b.Hook(t, name, nftables.ChainTypeNAT, hook, priorityHostPorts)
		b.Rule(c, nft.DestinationLocal(), nft.Jump(common))
	}
}

func (r rules) leave(b *nft.Batch, t *nftables.Table, s sets, clusterCIDRs []netip.Prefix) {
	c := b.Hook(t, "leave", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource)
	both := append(r.family.LoadSource(nft.R0), r.family.LoadDestination(nft.R0+r.family.Registers())...)
	b.Rule(c, nft.OutLink(r.name), r.family.SourceIn(r.family.Loopback()), nft.Masquerade())
	b.Rule(c, nft.Redirected(), both, nft.In(s.hairpin, nft.R0), nft.Masquerade())
	for _, source := range clusterCIDRs {
		b.Rule(c, r.family.SourceIn(source), r.outside(clusterCIDRs), nft.NotOutLoopback(), nft.Masquerade())
	}
}

// outside matches packets that leave the cluster.
func (r rules) outside(clusterCIDRs []netip.Prefix) []expr.Any {
	return append(r.family.DestinationNotIn(clusterCIDRs), r.family.DestinationNotIn([]netip.Prefix{r.family.Multicast()})...)
}

// fill passes a sandbox's elements to change, which is a Batch's Add or Delete.
func (r rules) fill(s sets, rec *record, change func(*nftables.Set, []nftables.SetElement)) {
	pod, ok := r.addressOf(rec)
	if !ok {
		return
	}
	var any, at []nftables.SetElement
	for _, p := range rec.Ports {
		service, target := nft.Key{}.Proto(p.Protocol).Port(p.Port), nft.Key{}.Addr(pod).Port(p.To)
		switch {
		case !p.IP.IsValid():
			any = append(any, nft.Entry(service, target))
		case r.family.Has(p.IP):
			at = append(at, nft.Entry(append(nft.Key{}.Addr(p.IP), service...), target))
		}
	}
	change(s.ports, any)
	change(s.portsAt, at)
	if len(any)+len(at) > 0 {
		change(s.hairpin, []nftables.SetElement{nft.Element(nft.Key{}.Addr(pod).Addr(pod))})
	}
}

func (r rules) addressOf(rec *record) (netip.Addr, bool) {
	for _, a := range rec.Addresses {
		if r.family.Has(a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// table names the existing table for changes to its elements.
func (r rules) table(b *nft.Batch) *nftables.Table { return b.Table(r.family, r.name) }
