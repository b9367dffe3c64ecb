package networks

import (
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"dhow/network/nft"
)

// apply writes the table of this engine anew, for those who are members:
//
//	prerouting  guard    loopback addresses are not for containers
//	forward     apart    networks are strangers to each other; internal ones lead nowhere
//	prerouting  ports-in destination NAT of published ports
//	output      ports-out
//	postrouting leave    masquerade
func (n *Networks) apply(members []*Member) error {
	list, err := n.list()
	if err != nil {
		return err
	}
	var live []*Network
	for _, w := range list {
		for _, m := range members {
			if m.in(w.ID) != nil {
				live = append(live, w)
				break
			}
		}
	}
	var socket nft.Socket
	defer socket.Close()
	passage := n.passage()
	if len(live) == 0 {
		if err := passage.Close(&socket); err != nil {
			return err
		}
		return socket.DropTables(n.table())
	}
	err = socket.Change(func(b *nft.Batch) {
		n.rules(b, nft.V4(), live, members)
		if six := slices.DeleteFunc(slices.Clone(live), func(w *Network) bool { return !w.Subnet6.IsValid() }); len(six) > 0 {
			n.rules(b, nft.V6(), six, members)
		} else {
			b.DropTable(nft.V6(), n.table())
		}
	})
	if err != nil {
		return err
	}
	_, err = passage.Open(&socket)
	return err
}

func (n *Networks) passage() nft.Passage {
	return nft.Passage{Links: n.config.Name + "-", Comment: n.config.Name + " containers", Last: true}
}

func (n *Networks) table() string { return n.config.Name + "-engine" }

// priorityPorts is that of destination NAT, one before the service proxy's.
const priorityPorts = -101

func (n *Networks) rules(b *nft.Batch, f nft.Family, live []*Network, members []*Member) {
	t := b.NewTable(f, n.table())
	ports := b.Set(nft.NewMap(t, "ports", []nftables.SetDatatype{nft.Proto, nft.Port}, []nftables.SetDatatype{f.Addr(), nft.Port}))
	portsAt := b.Set(nft.NewMap(t, "ports-at", []nftables.SetDatatype{f.Addr(), nft.Proto, nft.Port}, []nftables.SetDatatype{f.Addr(), nft.Port}))
	guard := b.Hook(t, "guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, *nftables.ChainPriorityRaw)
	apart := b.Hook(t, "apart", nftables.ChainTypeFilter, nftables.ChainHookForward, *nftables.ChainPriorityFilter)
	leave := b.Hook(t, "leave", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource)
	for _, w := range live {
		b.Rule(guard, inLink(w.Link), f.DestinationIn(f.Loopback()), nft.Drop())
		b.Rule(guard, inLink(w.Link), f.SourceIn(f.Loopback()), nft.Drop())
		others := nft.OutLink(n.config.Name + "-")
		if w.Internal {
			b.Rule(apart, outLink(w.Link), notInLink(w.Link), nft.Drop())
			others = nil
		}
		b.Rule(apart, inLink(w.Link), notOutLink(w.Link), others, nft.Drop())
		b.Rule(leave, outLink(w.Link), f.SourceIn(f.Loopback()), nft.Masquerade())
		b.Rule(leave, outLink(w.Link), nft.Redirected(), f.SourceIn(w.subnet(f)), nft.Masquerade()) // from a neighbour, or itself
		if !w.Internal {
			b.Rule(leave, f.SourceIn(w.subnet(f)), notOutLink(w.Link), nft.NotOutLoopback(), nft.Masquerade())
		}
	}
	n.publish(b, f, t, ports, portsAt)
	any, at := published(f, live, members)
	b.Add(ports, any)
	b.Add(portsAt, at)
}

// subnet is a network's of one family.
func (w *Network) subnet(f nft.Family) netip.Prefix {
	if f.Bits == 32 {
		return w.Subnet
	}
	return w.Subnet6
}

// published are the ports of one family: those on any of the host's addresses, and those at one.
func published(f nft.Family, live []*Network, members []*Member) (any, at []nftables.SetElement) {
	for _, m := range members {
		to := m.publishedBy(live)
		if to == nil {
			continue
		}
		for _, p := range m.Ports {
			host := p.HostIP
			if !host.IsValid() {
				host = netip.IPv4Unspecified()
			}
			inside := to.IP
			if f.Bits == 128 {
				inside = to.IP6
			}
			if !f.Has(host) || !inside.IsValid() {
				continue
			}
			service, target := nft.Key{}.Proto(protocols[p.Protocol]).Port(p.Host), nft.Key{}.Addr(inside).Port(p.To)
			if host.IsUnspecified() {
				any = append(any, nft.Entry(service, target))
			} else {
				at = append(at, nft.Entry(append(nft.Key{}.Addr(host), service...), target))
			}
		}
	}
	return any, at
}

var protocols = map[string]byte{"tcp": nft.TCP, "udp": nft.UDP, "sctp": nft.SCTP}

// publishedBy is the place that a container's ports lead to: its first that is not internal.
func (m *Member) publishedBy(live []*Network) *Place {
	for i := range m.Places {
		for _, w := range live {
			if w.ID == m.Places[i].Network && !w.Internal {
				return &m.Places[i]
			}
		}
	}
	return nil
}

func (n *Networks) publish(b *nft.Batch, f nft.Family, t *nftables.Table, ports, portsAt *nftables.Set) {
	common := b.Chain(t, "ports")
	service := nft.R0 + f.Registers()
	target := service + 2
	b.Rule(common, f.LoadDestination(nft.R0), nft.LoadService(service), nft.Map(portsAt, nft.R0, target), f.RedirectTo(target))
	b.Rule(common, nft.LoadService(service), nft.Map(ports, service, target), f.RedirectTo(target))
	for name, hook := range map[string]*nftables.ChainHook{"ports-in": nftables.ChainHookPrerouting, "ports-out": nftables.ChainHookOutput} {
		c := b.Hook(t, name, nftables.ChainTypeNAT, hook, priorityPorts)
		b.Rule(c, nft.DestinationLocal(), nft.Jump(common))
	}
}

// link compares the whole name of the link that a packet came in by, or goes out by.
func link(key expr.MetaKey, op expr.CmpOp, name string) []expr.Any {
	data := make([]byte, 16) // IFNAMSIZ
	copy(data, name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: data}}
}

func inLink(name string) []expr.Any     { return link(expr.MetaKeyIIFNAME, expr.CmpOpEq, name) }
func outLink(name string) []expr.Any    { return link(expr.MetaKeyOIFNAME, expr.CmpOpEq, name) }
func notInLink(name string) []expr.Any  { return link(expr.MetaKeyIIFNAME, expr.CmpOpNeq, name) }
func notOutLink(name string) []expr.Any { return link(expr.MetaKeyOIFNAME, expr.CmpOpNeq, name) }
