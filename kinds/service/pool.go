package service

import (
	"errors"
	"iter"
	"math/rand/v2"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

var (
	errTaken = errors.New("already allocated")
	errFull  = errors.New("range is full")
)

// pool knows which Service has which number: a cluster IP or a node port.
type pool[N comparable] struct {
	mu    sync.Mutex
	owner map[N]types.UID
	owned map[types.UID]map[N]bool
	// pending are taken by a write that has not ended: another write of the same Service must not give them back.
	pending map[N]bool
}

func newPool[N comparable]() *pool[N] {
	return &pool[N]{owner: map[N]types.UID{}, owned: map[types.UID]map[N]bool{}, pending: map[N]bool{}}
}

// span is a range of numbers from which any may be given out, counted from 0. A lower band is left for those who ask
// for a certain number, as long as the upper band has any.
type span struct{ size, band uint64 }

// anyOrder goes through a span, the upper band first, each band from anywhere on.
func (s span) anyOrder(yield func(uint64) bool) {
	for _, band := range [][2]uint64{{s.band, s.size}, {0, s.band}} {
		from, to := band[0], band[1]
		if to <= from {
			continue
		}
		start := rand.Uint64N(to - from)
		for i := range to - from {
			if !yield(from + (start+i)%(to-from)) {
				return
			}
		}
	}
}

// bandOf is how much of a range is kept for those who choose: a part of it, within bounds (KEP-3070, KEP-3668).
func bandOf(size, part, least, most uint64) uint64 {
	if size <= least {
		return 0
	}
	return min(max(size/part, least), most)
}

// claim is what one request takes from a pool: for one Service, and in a dry run only in appearance.
type claim[N comparable] struct {
	pool  *pool[N]
	uid   types.UID
	dry   bool
	had   map[N]bool // by the Service as it is stored
	fresh map[N]bool // taken by this claim
}

func (p *pool[N]) claim(uid types.UID, dry bool, had ...N) *claim[N] {
	c := &claim[N]{pool: p, uid: uid, dry: dry, had: map[N]bool{}, fresh: map[N]bool{}}
	for _, n := range had {
		c.had[n] = true
	}
	return c
}

// take takes n, which the same Service may have had already.
func (c *claim[N]) take(n N) error {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return c.takeLocked(n)
}

func (c *claim[N]) takeLocked(n N) error {
	uid, taken := c.pool.owner[n]
	if taken && uid != c.uid {
		return errTaken
	}
	if !c.dry && !c.had[n] {
		c.pool.pending[n] = true
	}
	if taken {
		return nil
	}
	if !c.dry {
		c.pool.set(n, c.uid)
	}
	c.fresh[n] = true
	return nil
}

// first takes the first number of those that nobody has.
func (c *claim[N]) first(numbers iter.Seq[N]) (taken N, err error) {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	for n := range numbers {
		if _, has := c.pool.owner[n]; !has && !c.fresh[n] {
			return n, c.takeLocked(n)
		}
	}
	return taken, errFull
}

// undo gives back what the claim took.
func (c *claim[N]) undo() {
	if c.dry {
		return
	}
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	for n := range c.fresh {
		c.pool.clear(n)
	}
}

// keep notes that numbers are stored as the Service's, and gives back what else it has but what is pending.
func (p *pool[N]) keep(uid types.UID, numbers ...N) {
	kept := map[N]bool{}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range numbers {
		kept[n] = true
		if _, taken := p.owner[n]; !taken {
			p.set(n, uid)
		}
		if p.owner[n] == uid {
			delete(p.pending, n)
		}
	}
	for n := range p.owned[uid] {
		if !kept[n] && !p.pending[n] {
			p.clear(n)
		}
	}
}

// drop gives back all that a Service has, which is no more.
func (p *pool[N]) drop(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := range p.owned[uid] {
		p.clear(n)
	}
}

func (p *pool[N]) set(n N, uid types.UID) {
	p.owner[n] = uid
	if p.owned[uid] == nil {
		p.owned[uid] = map[N]bool{}
	}
	p.owned[uid][n] = true
}

func (p *pool[N]) clear(n N) {
	uid := p.owner[n]
	delete(p.owner, n)
	delete(p.pending, n)
	delete(p.owned[uid], n)
	if len(p.owned[uid]) == 0 {
		delete(p.owned, uid)
	}
}
