package service

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

// addresses are the cluster IPs of one family. Number 0 is the first address after the network's own.
type addresses struct {
	prefix netip.Prefix
	pool   *pool
}

// maxAddresses bounds what is given out of one range, as upstream does.
const maxAddresses = 1 << 16

func newAddresses(prefix netip.Prefix) (*addresses, error) {
	prefix = prefix.Masked()
	bits := prefix.Addr().BitLen() - prefix.Bits()
	if bits < 2 {
		return nil, fmt.Errorf("service CIDR %s: has no room for services", prefix)
	}
	size := uint64(maxAddresses)
	if bits < 16 {
		size = 1 << bits
	}
	usable := size - 1 // not the network's address
	if prefix.Addr().Is4() && bits <= 16 {
		usable-- // nor the broadcast address
	}
	return &addresses{prefix: prefix, pool: newPool(usable, bandOf(size, 16, 16, 256))}, nil
}

func (a *addresses) family() corev1.IPFamily {
	if a.prefix.Addr().Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// number of an address, false when it is not one to be given out.
func (a *addresses) number(ip netip.Addr) (uint64, bool) {
	if !a.prefix.Contains(ip) {
		return 0, false
	}
	base, at := a.prefix.Addr().As16(), ip.As16()
	if at[0] != base[0] || binary.BigEndian.Uint64(at[:8]) != binary.BigEndian.Uint64(base[:8]) {
		return 0, false
	}
	n := binary.BigEndian.Uint64(at[8:]) - binary.BigEndian.Uint64(base[8:])
	return n - 1, n >= 1 && n <= a.pool.size
}

func (a *addresses) address(n uint64) netip.Addr {
	b := a.prefix.Addr().As16()
	binary.BigEndian.PutUint64(b[8:], binary.BigEndian.Uint64(b[8:])+n+1)
	return netip.AddrFrom16(b).Unmap()
}

// take takes an address that a user chose.
func (a *addresses) take(c *claim, text string) error {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return err
	}
	n, ok := a.number(ip.Unmap())
	if !ok {
		return fmt.Errorf("the provided IP (%s) is not in the valid range. The range of valid IPs is %s", text, a.prefix)
	}
	if c.take(n) != nil {
		return fmt.Errorf("provided IP is already allocated")
	}
	return nil
}

// ports are the node ports; number 0 is the first.
type ports struct {
	first int32
	pool  *pool
}

func newPorts(first, last int32) (*ports, error) {
	if first < 1 || last < first || last > 65535 {
		return nil, fmt.Errorf("node ports %d-%d: not a range of ports", first, last)
	}
	size := uint64(last-first) + 1
	return &ports{first: first, pool: newPool(size, bandOf(size, 32, 16, 128))}, nil
}

func (p *ports) number(port int32) (uint64, bool) {
	n := int64(port) - int64(p.first)
	return uint64(n), n >= 0 && uint64(n) < p.pool.size
}

// take takes a port that a user chose.
func (p *ports) take(c *claim, port int32) error {
	n, ok := p.number(port)
	if !ok {
		return fmt.Errorf("provided port is not in the valid range. The range of valid ports is %d-%d", p.first, p.first+int32(p.pool.size)-1)
	}
	if c.take(n) != nil {
		return fmt.Errorf("provided port is already allocated")
	}
	return nil
}

func (p *ports) next(c *claim) (int32, error) {
	n, err := c.next()
	return p.first + int32(n), err
}
