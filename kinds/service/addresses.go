package service

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

// addresses are the cluster IPs of one range. Number 0 is the first address after the network's own.
type addresses struct {
	span
	prefix netip.Prefix
}

// maxAddresses bounds what is given out of one range, as upstream does.
const maxAddresses = 1 << 16

func newAddresses(prefix netip.Prefix) (addresses, error) {
	prefix = prefix.Masked()
	bits := prefix.Addr().BitLen() - prefix.Bits()
	if bits < 2 {
		return addresses{}, fmt.Errorf("service CIDR %s: has no room for services", prefix)
	}
	size := uint64(maxAddresses)
	if bits < 16 {
		size = 1 << bits
	}
	usable := size - 1 // not the network's address
	if prefix.Addr().Is4() && bits <= 16 {
		usable-- // nor the broadcast address
	}
	return addresses{prefix: prefix, span: span{usable, bandOf(size, 16, 16, 256)}}, nil
}

func (a addresses) family() corev1.IPFamily { return ipFamily(a.prefix.Addr()) }

func ipFamily(ip netip.Addr) corev1.IPFamily {
	if ip.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// has says whether an address is one to be given out.
func (a addresses) has(ip netip.Addr) bool {
	if !a.prefix.Contains(ip) {
		return false
	}
	base, at := a.prefix.Addr().As16(), ip.As16()
	if at[0] != base[0] || binary.BigEndian.Uint64(at[:8]) != binary.BigEndian.Uint64(base[:8]) {
		return false
	}
	n := binary.BigEndian.Uint64(at[8:]) - binary.BigEndian.Uint64(base[8:])
	return n >= 1 && n <= a.size
}

func (a addresses) address(n uint64) netip.Addr {
	b := a.prefix.Addr().As16()
	binary.BigEndian.PutUint64(b[8:], binary.BigEndian.Uint64(b[8:])+n+1)
	return netip.AddrFrom16(b).Unmap()
}

// inAnyOrder are all addresses.
func (a addresses) inAnyOrder() iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for n := range a.anyOrder {
			if !yield(a.address(n)) {
				return
			}
		}
	}
}

// ports are the node ports.
type ports struct {
	span
	lowest int32
}

func newPorts(first, last int32) (ports, error) {
	if first < 1 || last < first || last > 65535 {
		return ports{}, fmt.Errorf("node ports %d-%d: not a range of ports", first, last)
	}
	size := uint64(last-first) + 1
	return ports{lowest: first, span: span{size, bandOf(size, 32, 16, 128)}}, nil
}

func (p ports) has(port int32) bool { return port >= p.lowest && port-p.lowest < int32(p.size) }

// take takes a port that a user chose.
func (p ports) take(c *claim[int32], port int32) error {
	if !p.has(port) {
		return fmt.Errorf("provided port is not in the valid range. The range of valid ports is %d-%d", p.lowest, p.lowest+int32(p.size)-1)
	}
	if c.take(port) != nil {
		return fmt.Errorf("provided port is already allocated")
	}
	return nil
}

func (p ports) next(c *claim[int32]) (int32, error) {
	return c.first(func(yield func(int32) bool) {
		for n := range p.anyOrder {
			if !yield(p.lowest + int32(n)) {
				return
			}
		}
	})
}
