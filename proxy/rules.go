package proxy

import (
	"net/netip"
	"slices"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"dhow/network/nft"
)

// rules writes the rules that are always there.
func (t table) rules(b *nft.Batch, nt *nftables.Table, s sets) {
	t.refuse(b, nt, s)
	t.guard(b, nt, s)
	t.lead(b, nt, s)
	t.leave(b, nt, s)
}

// key loads a frontend's key into the first registers: the packet's destination, protocol and port.
func (t table) key() []expr.Any {
	return append(t.family.LoadDestination(nft.R0), nft.LoadService(nft.R0+t.family.Registers())...)
}

// nodePortKey is the key of a NodePort, which has no address.
func (t table) nodePortKey() []expr.Any {
	return append(t.family.LoadAddr(nft.R0, unspecified(t.family)), nft.LoadService(nft.R0+t.family.Registers())...)
}

// toNode matches packets to where NodePorts answer; one match per prefix.
func (t table) toNode() [][]expr.Any {
	here := slices.Concat(t.family.DestinationNotIn([]netip.Prefix{t.family.Loopback()}), nft.DestinationLocal())
	if len(t.nodePorts) == 0 {
		return [][]expr.Any{here}
	}
	var all [][]expr.Any
	for _, p := range t.nodePorts {
		all = append(all, slices.Concat(t.family.DestinationIn(p), here))
	}
	return all
}

// dispatch does what a verdict map says about the packet's frontend, the NodePort last.
func (t table) dispatch(b *nft.Batch, c *nftables.Chain, verdicts *nftables.Set) {
	b.Rule(c, t.key(), nft.Dispatch(verdicts, nft.R0))
	for _, match := range t.toNode() {
		b.Rule(c, match, t.nodePortKey(), nft.Dispatch(verdicts, nft.R0))
	}
}

// lead is destination NAT. A chain that finds no endpoint comes back, and the packet is refused later.
func (t table) lead(b *nft.Batch, nt *nftables.Table, s sets) {
	inside := b.Chain(nt, "inside")
	t.dispatch(b, inside, s.byName[setInside])
	all := b.Chain(nt, "all")
	for _, p := range t.clusterCIDRs {
		b.Rule(all, t.family.SourceIn(p), nft.Jump(inside))
	}
	b.Rule(all, nft.SourceLocal(), nft.Jump(inside))
	t.dispatch(b, all, s.byName[setServices])
	for name, hook := range map[string]*nftables.ChainHook{
		"nat-in": nftables.ChainHookPrerouting, "nat-out": nftables.ChainHookOutput,
	} {
		c := b.Hook(nt, name, nftables.ChainTypeNAT, hook, priorityNAT)
		b.Rule(c, nft.Jump(all))
	}
}

// refuse ends packets that no endpoint is there for. A cluster IP that is none is passed over in silence: the
// Service may be on its way here, and the client's next packet may find it.
func (t table) refuse(b *nft.Batch, nt *nftables.Table, s sets) {
	rejected := b.Chain(nt, string(reject))
	b.Rule(rejected, nft.Protocol(nft.TCP), nft.Reset())
	b.Rule(rejected, t.family.Unreachable())
	b.Rule(b.Chain(nt, string(drop)), nft.Drop())
	c := b.Chain(nt, "refuse")
	t.dispatch(b, c, s.byName[setRefused])
	for _, p := range t.serviceCIDRs {
		// A Service that is being changed at this very moment: the next packet will find an endpoint.
		b.Rule(c, t.family.DestinationIn(p), t.key(), nft.Map(s.byName[setPools], nft.R0, nft.R0), nft.Drop())
		b.Rule(c, t.family.DestinationIn(p), t.family.LoadDestination(nft.R0), nft.In(s.byName[setClusterIPs], nft.R0),
			nft.Jump(rejected))
		b.Rule(c, t.family.DestinationIn(p), nft.Drop())
	}
	for name, hook := range map[string]*nftables.ChainHook{
		"refuse-in": nftables.ChainHookInput, "refuse-forward": nftables.ChainHookForward, "refuse-out": nftables.ChainHookOutput,
	} {
		b.Rule(b.Hook(nt, name, nftables.ChainTypeFilter, hook, priorityFilter), nft.New(), nft.Jump(c))
	}
}

// guard keeps strangers from load balancers that take some clients only.
func (t table) guard(b *nft.Batch, nt *nftables.Table, s sets) {
	client := nft.R0 + t.family.Registers() + 2
	for name, hook := range map[string]*nftables.ChainHook{
		"guard-in": nftables.ChainHookPrerouting, "guard-out": nftables.ChainHookOutput,
	} {
		c := b.Hook(nt, name, nftables.ChainTypeFilter, hook, priorityGuard)
		b.Rule(c, nft.New(), t.key(), nft.In(s.byName[setGuarded], nft.R0), t.family.LoadSource(client),
			nft.NotIn(s.byName[setAllowed], nft.R0), nft.Drop())
	}
}

// leave is source NAT, so that answers come back by this node.
func (t table) leave(b *nft.Batch, nt *nftables.Table, s sets) {
	c := b.Hook(nt, "leave", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, prioritySource)
	b.Rule(c, nft.Marked(mark), nft.ClearMark(mark), nft.Masquerade())
	both := append(t.family.LoadSource(nft.R0), t.family.LoadDestination(nft.R0+t.family.Registers())...)
	b.Rule(c, nft.Redirected(), both, nft.In(s.byName[setHairpin], nft.R0), nft.Masquerade())
}

// balance writes a chain that picks one of n endpoints. Registers: the pool's number, and behind it what a key or
// value needs.
func (t table) balance(b *nft.Batch, nt *nftables.Table, s sets, c chain) {
	out := b.Chain(nt, c.String())
	if hide := t.hide(c.masquerade); hide != nil {
		b.Rule(out, hide, nft.SetMark(mark))
	}
	pools, key := s.byName[setPools], t.key()
	if c.inside {
		pools = s.byName[setInsidePool]
	}
	if c.nodePort {
		key = t.nodePortKey()
	}
	pool := append(key, nft.Map(pools, nft.R0, nft.R0)...)
	if c.affinity > 0 {
		t.stick(b, out, s, pool, c)
	}
	endpoint := uint32(nft.R0 + 2)
	b.Rule(out, pool, nft.Random(c.n, nft.R0+1), nft.Map(s.byName[setEndpoints], nft.R0, endpoint), t.family.RedirectTo(endpoint))
}

// hide matches the packets to be masqueraded; nil for none.
func (t table) hide(m masquerade) []expr.Any {
	switch m {
	case always:
		return []expr.Any{}
	case outside:
		if len(t.clusterCIDRs) == 0 {
			return nil
		}
		return t.family.SourceNotIn(t.clusterCIDRs)
	case ownHost:
		return nft.SourceLocal()
	default:
		return nil
	}
}

// stick leads a client to the endpoint it had before if that is alive, else picks one and remembers it.
func (t table) stick(b *nft.Batch, out *nftables.Chain, s sets, pool []expr.Any, c chain) {
	client := uint32(nft.R0 + 1)
	endpoint := client + t.family.Registers() // behind the key
	known := slices.Concat(pool, t.family.LoadSource(client))
	timeout := time.Duration(c.affinity) * time.Second
	b.Rule(out, known, nft.Map(s.affinity, nft.R0, endpoint), nft.Remember(s.affinity, nft.R0, endpoint, timeout),
		nft.Map(s.affinity, nft.R0, client), nft.In(s.byName[setAlive], nft.R0), t.family.RedirectTo(client))
	b.Rule(out, known, nft.Forget(s.affinity, nft.R0))
	b.Rule(out, pool, nft.Random(c.n, nft.R0+1), nft.Map(s.byName[setEndpoints], nft.R0, endpoint),
		t.family.LoadSource(client), nft.Remember(s.affinity, nft.R0, endpoint, timeout), t.family.RedirectTo(endpoint))
}
