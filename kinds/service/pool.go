package service

import (
	"errors"
	"math/rand/v2"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

var (
	errTaken = errors.New("already allocated")
	errFull  = errors.New("range is full")
)

// pool gives out the numbers 0 … size-1, each to one Service. A lower band is left for those who ask for a
// certain number, as long as the upper band has any.
type pool struct {
	size, band uint64

	mu    sync.Mutex
	owner map[uint64]types.UID
	owned map[types.UID]map[uint64]bool
	// pending are taken by a write that has not ended: another write of the same Service must not give them back.
	pending map[uint64]bool
}

func newPool(size, band uint64) *pool {
	return &pool{size: size, band: band,
		owner: map[uint64]types.UID{}, owned: map[types.UID]map[uint64]bool{}, pending: map[uint64]bool{}}
}

// bandOf is how much of a range is kept for those who choose: a part of it, within bounds (KEP-3070, KEP-3668).
func bandOf(size, part, least, most uint64) uint64 {
	if size <= least {
		return 0
	}
	return min(max(size/part, least), most)
}

// claim is what one request takes from a pool: for one Service, and in a dry run only in appearance.
type claim struct {
	pool  *pool
	uid   types.UID
	dry   bool
	had   map[uint64]bool // by the Service as it is stored
	fresh map[uint64]bool // taken by this claim
}

func (p *pool) claim(uid types.UID, dry bool, had ...uint64) *claim {
	c := &claim{pool: p, uid: uid, dry: dry, had: map[uint64]bool{}, fresh: map[uint64]bool{}}
	for _, n := range had {
		c.had[n] = true
	}
	return c
}

// take takes n, which the same Service may have had already.
func (c *claim) take(n uint64) error {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return c.takeLocked(n)
}

func (c *claim) takeLocked(n uint64) error {
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

// next takes any free number.
func (c *claim) next() (uint64, error) {
	p := c.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.free(p.band, p.size, c.fresh)
	if !ok {
		n, ok = p.free(0, p.band, c.fresh)
	}
	if !ok {
		return 0, errFull
	}
	return n, c.takeLocked(n)
}

// free finds a number in [from, to) that nobody has, and that is not in but; it begins anywhere.
func (p *pool) free(from, to uint64, but map[uint64]bool) (uint64, bool) {
	if to <= from {
		return 0, false
	}
	start := rand.Uint64N(to - from)
	for i := range to - from {
		n := from + (start+i)%(to-from)
		if _, taken := p.owner[n]; !taken && !but[n] {
			return n, true
		}
	}
	return 0, false
}

// undo gives back what the claim took.
func (c *claim) undo() {
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
func (p *pool) keep(uid types.UID, numbers ...uint64) {
	kept := map[uint64]bool{}
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
func (p *pool) drop(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := range p.owned[uid] {
		p.clear(n)
	}
}

func (p *pool) set(n uint64, uid types.UID) {
	p.owner[n] = uid
	if p.owned[uid] == nil {
		p.owned[uid] = map[uint64]bool{}
	}
	p.owned[uid][n] = true
}

func (p *pool) clear(n uint64) {
	uid := p.owner[n]
	delete(p.owner, n)
	delete(p.pending, n)
	delete(p.owned[uid], n)
	if len(p.owned[uid]) == 0 {
		delete(p.owned, uid)
	}
}
