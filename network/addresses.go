package network

import (
	"fmt"
	"net/netip"
)

// pool hands out the addresses of one prefix in turn, so that an address that was given back is used again as
// late as possible.
type pool struct {
	prefix netip.Prefix
	last   netip.Addr
	used   map[netip.Addr]bool
}

func newPool(prefix netip.Prefix) *pool {
	return &pool{prefix: prefix.Masked(), last: nodeAddress(prefix), used: map[netip.Addr]bool{}}
}

// nodeAddress is the first address of a pod CIDR.
func nodeAddress(prefix netip.Prefix) netip.Addr { return prefix.Masked().Addr().Next() }

// take returns a free address.
func (p *pool) take() (netip.Addr, error) {
	candidate := p.last
	for range len(p.used) + 1 {
		candidate = p.after(candidate)
		if !candidate.IsValid() {
			break
		}
		if !p.used[candidate] {
			p.last = candidate
			p.used[candidate] = true
			return candidate, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no free pod address in %s: %d are in use", p.prefix, len(p.used))
}

// after returns the address that follows a, beginning again behind the node's own; invalid if pods have none.
func (p *pool) after(a netip.Addr) netip.Addr {
	first := nodeAddress(p.prefix).Next()
	if !p.usable(first) {
		return netip.Addr{}
	}
	if next := a.Next(); p.usable(next) {
		return next
	}
	return first
}

// usable excludes the last address: it is IPv4's broadcast.
func (p *pool) usable(a netip.Addr) bool { return p.prefix.Contains(a) && p.prefix.Contains(a.Next()) }

// keep marks an address as used; one of another prefix is ignored.
func (p *pool) keep(a netip.Addr) {
	if p.prefix.Contains(a) {
		p.used[a] = true
	}
}

// resume continues behind the address that was handed out last.
func (p *pool) resume(a netip.Addr) {
	if p.usable(a) {
		p.last = a
	}
}

func (p *pool) release(a netip.Addr) { delete(p.used, a) }
