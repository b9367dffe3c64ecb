package proxy

import (
	"net/netip"

	"github.com/google/nftables"

	"dhow/network/nft"
)

const (
	// mark is set on packets whose source is to be changed, from one hook to the next; kube-proxy's own.
	mark = 0x4000
	// affinities is how many clients' endpoints are remembered in each family; beyond that clients move about.
	affinities = 1 << 18

	priorityGuard  = -110 // before destination NAT
	priorityNAT    = -100 // dstnat
	priorityFilter = -10  // just before other tables', so that clients are told rather than left waiting
	prioritySource = 100  // srcnat
)

// table is the proxy's nftables table in one family:
//
//	prerouting  guard    load balancers' source ranges
//	prerouting  nat      → inside, then services → lb-N…: destination NAT
//	output      nat
//	input, forward, output  refuse   frontends without endpoints, cluster IPs that are none
//	postrouting leave    masquerade
type table struct {
	family       nft.Family
	name         string
	clusterCIDRs []netip.Prefix
	serviceCIDRs []netip.Prefix
	nodePorts    []netip.Prefix
}

// sets are the table's sets by name, and the one that rules write.
type sets struct {
	byName   map[string]*nftables.Set
	affinity *nftables.Set // pool, client → endpoint
}

func (t table) sets(nt *nftables.Table) sets {
	addr := t.family.Addr()
	front := []nftables.SetDatatype{addr, nft.Proto, nft.Port}
	number := []nftables.SetDatatype{nft.Number}
	at := []nftables.SetDatatype{addr, nft.Port}
	s := sets{byName: map[string]*nftables.Set{}}
	for _, set := range []*nftables.Set{
		nft.NewVerdicts(nt, setServices, front...),
		nft.NewVerdicts(nt, setInside, front...),
		nft.NewVerdicts(nt, setRefused, front...),
		nft.NewMap(nt, setPools, front, number),
		nft.NewMap(nt, setInsidePool, front, number),
		nft.NewMap(nt, setEndpoints, []nftables.SetDatatype{nft.Number, nft.Number}, at),
		nft.NewSet(nt, setAlive, nft.Number, addr, nft.Port),
		nft.NewSet(nt, setClusterIPs, addr),
		nft.NewSet(nt, setHairpin, addr, addr),
		nft.NewSet(nt, setGuarded, front...),
		nft.NewRanges(nt, setAllowed, addr, nft.Proto, nft.Port, addr),
	} {
		s.byName[set.Name] = set
	}
	s.affinity = nft.Learned(nft.NewMap(nt, "affinity", []nftables.SetDatatype{nft.Number, addr}, at), affinities)
	return s
}

// replace writes the whole table. Unless anew, what clients' affinity has learned stays.
func (t table) replace(b *nft.Batch, d difference, anew bool) {
	if anew {
		b.DropTable(t.family, t.name)
	}
	nt := b.Table(t.family, t.name)
	s := t.sets(nt)
	for _, set := range s.byName {
		b.Set(set)
	}
	b.Set(s.affinity)
	t.rules(b, nt, s)
	for _, set := range s.byName {
		b.Flush(set)
	}
	t.change(b, s, nt, d)
}

// update writes a difference.
func (t table) update(b *nft.Batch, d difference) {
	nt := b.Table(t.family, t.name)
	t.change(b, t.sets(nt), nt, d)
}

func (t table) change(b *nft.Batch, s sets, nt *nftables.Table, d difference) {
	for _, c := range d.chains() {
		t.balance(b, nt, s, c)
	}
	for name, elements := range group(d.remove) {
		b.Delete(s.byName[name], elements)
	}
	for name, elements := range group(d.add) {
		b.Add(s.byName[name], elements)
	}
}

// group sorts elements by set, in the library's form.
func group(all map[element]value) map[string][]nftables.SetElement {
	bySet := map[string][]nftables.SetElement{}
	for e, v := range all {
		bySet[e.set] = append(bySet[e.set], encode(e, v))
	}
	return bySet
}

func encode(e element, v value) nftables.SetElement {
	switch {
	case e.set == setAllowed:
		return nft.Range(nft.Key(e.key), nft.Key(v.data))
	case v.chain != chain{}:
		return nft.Goto(nft.Key(e.key), v.chain.String())
	case v.data != "":
		return nft.Entry(nft.Key(e.key), nft.Key(v.data))
	default:
		return nft.Element(nft.Key(e.key))
	}
}
