package proxy

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"

	"dhow/network/nft"
)

// The table's sets. Everything that differs between Services is an element of one of them, never a rule.
const (
	setServices   = "services"        // frontend → chain
	setPools      = "pools"           // frontend → number of its pool
	setInside     = "services-inside" // the same, for clients in the cluster where they are led otherwise
	setInsidePool = "pools-inside"
	setEndpoints  = "endpoints"   // pool, index → address, port
	setAlive      = "alive"       // pool, address, port; of pools with affinity
	setRefused    = "refused"     // frontend → chain
	setClusterIPs = "cluster-ips" // address
	setHairpin    = "hairpin"     // address twice
	setGuarded    = "guarded"     // frontend
	setAllowed    = "allowed"     // frontend, range of clients
)

// element names one element of one set.
type element struct{ set, key string }

// value is what an element has: nothing in a set, bytes in a map, a chain in a verdict map, the end of a range.
type value struct {
	data  string
	chain chain
}

// chain names a chain of the table: a fixed one, or one that balances over n endpoints.
type chain struct {
	fixed string
	balance
}

// balance describes a chain that picks one of n endpoints: frontends that are alike share it.
type balance struct {
	n          int
	nodePort   bool // the frontend's key has no address
	inside     bool
	masquerade masquerade
	affinity   int // seconds
}

func (c chain) String() string {
	if c.fixed != "" {
		return c.fixed
	}
	name := fmt.Sprintf("lb-%d", c.n)
	if c.nodePort {
		name += "-node"
	}
	if c.inside {
		name += "-inside"
	}
	name += [...]string{never: "", outside: "-hide-outside", ownHost: "-hide-host", always: "-hide"}[c.masquerade]
	if c.affinity > 0 {
		name += fmt.Sprintf("-stick-%d", c.affinity)
	}
	return name
}

// numbers gives pools the numbers by which the kernel knows them. They depend on the name alone (but for rare
// clashes), so that clients keep their endpoints over a restart.
type numbers struct {
	of   map[string]uint32
	used map[uint32]string
}

func newNumbers() *numbers { return &numbers{of: map[string]uint32{}, used: map[uint32]string{}} }

func (n *numbers) get(pool string) uint32 {
	if id, ok := n.of[pool]; ok {
		return id
	}
	h := fnv.New32a()
	h.Write([]byte(pool))
	id := h.Sum32()
	for n.used[id] != "" {
		id++
	}
	n.of[pool], n.used[id] = id, pool
	return id
}

func (n *numbers) release(pool string) {
	if id, ok := n.of[pool]; ok {
		delete(n.of, pool)
		delete(n.used, id)
	}
}

// elements says a plan in the kernel's terms.
func (p *plan) elements(f nft.Family, ids *numbers) map[element]value {
	all := map[element]value{}
	for at, to := range p.frontends {
		p.leadElements(all, at, to, ids)
	}
	for at, how := range p.refused {
		all[element{setRefused, string(frontendKey(at))}] = value{chain: chain{fixed: string(how)}}
	}
	for pool, endpoints := range p.pools {
		id := ids.get(pool)
		for i, e := range endpoints {
			at := string(nft.Key{}.Addr(e.Addr()).Port(e.Port()))
			all[element{setEndpoints, string(nft.Key{}.Number(id).Number(uint32(i)))}] = value{data: at}
			if p.sticky {
				all[element{setAlive, string(nft.Key{}.Number(id)) + at}] = value{}
			}
		}
	}
	for _, ip := range p.clusterIPs {
		all[element{setClusterIPs, string(nft.Key{}.Addr(ip))}] = value{}
	}
	for _, ip := range p.own {
		all[element{setHairpin, string(nft.Key{}.Addr(ip).Addr(ip))}] = value{}
	}
	for at, ranges := range p.sources {
		guardElements(all, at, ranges)
	}
	return all
}

func (p *plan) leadElements(all map[element]value, at frontend, to target, ids *numbers) {
	services, pools := setServices, setPools
	if at.inside {
		services, pools = setInside, setInsidePool
	}
	key := string(frontendKey(at))
	all[element{services, key}] = value{chain: chain{balance: balance{
		n: len(p.pools[to.pool]), nodePort: at.addr.IsUnspecified(), inside: at.inside,
		masquerade: to.masquerade, affinity: int(to.affinity.Seconds()),
	}}}
	all[element{pools, key}] = value{data: string(nft.Key{}.Number(ids.get(to.pool)))}
}

func guardElements(all map[element]value, at frontend, ranges []netip.Prefix) {
	key := string(frontendKey(at))
	all[element{setGuarded, key}] = value{}
	for _, r := range disjoint(ranges) {
		first, last := nft.Key(key).Addr(r.Addr()), nft.Key(key).Addr(nft.Last(r))
		all[element{setAllowed, string(first)}] = value{data: string(last)}
	}
}

// disjoint drops prefixes that lie within others: the kernel refuses ranges that overlap.
func disjoint(ranges []netip.Prefix) []netip.Prefix {
	var kept []netip.Prefix
	ranges = slices.Clone(ranges)
	slices.SortFunc(ranges, func(a, b netip.Prefix) int { return a.Bits() - b.Bits() })
	for _, r := range ranges {
		if !slices.ContainsFunc(kept, func(k netip.Prefix) bool { return k.Contains(r.Addr()) }) {
			kept = append(kept, r)
		}
	}
	return kept
}

func frontendKey(at frontend) nft.Key {
	return nft.Key{}.Addr(at.addr).Proto(at.protocol).Port(at.port)
}

// arrange gives next the order of prev as far as it goes, so that few elements change: who stays keeps the place,
// newcomers fill the gaps.
func arrange(prev, next []netip.AddrPort) []netip.AddrPort {
	arranged := make([]netip.AddrPort, len(next))
	var rest []netip.AddrPort
	place := map[netip.AddrPort]int{}
	for i, e := range prev {
		place[e] = i
	}
	for _, e := range next {
		if i, ok := place[e]; ok && i < len(next) {
			arranged[i] = e
		} else {
			rest = append(rest, e)
		}
	}
	for i := range arranged {
		if !arranged[i].IsValid() {
			arranged[i], rest = rest[0], rest[1:]
		}
	}
	return arranged
}
