package proxy

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"dhow/network/nft"
)

// claim is one Service's wish for an element. Services may share elements or, by mistake, want the same one
// differently: then the first by name has it.
type claim struct {
	by    types.NamespacedName
	value value
}

// state is what the kernel has and what it should have, in one family. It makes differences, and changes nothing.
type state struct {
	family nft.Family
	ids    *numbers
	plans  map[types.NamespacedName]*plan
	said   map[types.NamespacedName]map[element]value
	claims map[element][]claim
	// installed is what the kernel has.
	installed map[element]value
	// touched are elements whose claims changed since the last difference.
	touched map[element]bool
}

func newState(f nft.Family) *state {
	return &state{
		family: f, ids: newNumbers(), plans: map[types.NamespacedName]*plan{},
		said: map[types.NamespacedName]map[element]value{}, claims: map[element][]claim{},
		installed: map[element]value{}, touched: map[element]bool{},
	}
}

// set replaces the plan of one Service.
func (s *state) set(by types.NamespacedName, p *plan) {
	old := s.plans[by]
	s.keepPlaces(old, p)
	before, after := s.said[by], p.elements(s.family, s.ids)
	for e := range before {
		if v, ok := after[e]; !ok || v != before[e] {
			s.withdraw(by, e)
		}
	}
	for e, v := range after {
		if was, ok := before[e]; !ok || was != v {
			s.wish(by, e, v)
		}
	}
	if old != nil {
		for pool := range old.pools {
			if _, ok := p.pools[pool]; !ok {
				s.ids.release(pool)
			}
		}
	}
	if len(after) == 0 && len(p.flows) == 0 {
		delete(s.plans, by)
		delete(s.said, by)
		return
	}
	s.plans[by], s.said[by] = p, after
}

func (s *state) keepPlaces(old, p *plan) {
	if old == nil {
		return
	}
	for pool, endpoints := range p.pools {
		p.pools[pool] = arrange(old.pools[pool], endpoints)
	}
}

func (s *state) wish(by types.NamespacedName, e element, v value) {
	all := append(s.claims[e], claim{by, v})
	slices.SortFunc(all, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.by.Namespace, b.by.Namespace), cmp.Compare(a.by.Name, b.by.Name))
	})
	s.claims[e] = all
	s.touched[e] = true
}

func (s *state) withdraw(by types.NamespacedName, e element) {
	all := slices.DeleteFunc(s.claims[e], func(c claim) bool { return c.by == by })
	if len(all) == 0 {
		delete(s.claims, e)
	} else {
		s.claims[e] = all
	}
	s.touched[e] = true
}

// difference is what to do to the kernel.
type difference struct {
	remove, add map[element]value
}

func (d difference) empty() bool { return len(d.remove)+len(d.add) == 0 }

// chains are those that the added elements lead to.
func (d difference) chains() []chain {
	found := map[chain]bool{}
	for _, v := range d.add {
		if v.chain.n > 0 {
			found[v.chain] = true
		}
	}
	return slices.SortedFunc(maps.Keys(found), func(a, b chain) int { return cmp.Compare(a.String(), b.String()) })
}

// diff tells what changed since done was last called.
func (s *state) diff() difference {
	d := difference{remove: map[element]value{}, add: map[element]value{}}
	for e := range s.touched {
		was, there := s.installed[e]
		all := s.claims[e]
		if there && (len(all) == 0 || all[0].value != was) {
			d.remove[e] = was
		}
		if len(all) > 0 && (!there || all[0].value != was) {
			d.add[e] = all[0].value
		}
	}
	return d
}

// all tells everything the kernel should have.
func (s *state) all() difference {
	d := difference{add: map[element]value{}}
	for e, claims := range s.claims {
		d.add[e] = claims[0].value
	}
	return d
}

// done notes that the kernel has the difference.
func (s *state) done(d difference) {
	for e := range d.remove {
		delete(s.installed, e)
	}
	maps.Copy(s.installed, d.add)
	clear(s.touched)
}

// doneAll notes that the kernel has all of d and nothing else.
func (s *state) doneAll(d difference) {
	s.installed = maps.Clone(d.add)
	clear(s.touched)
}
