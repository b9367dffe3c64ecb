package networks

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// pool is what subnets are cut from, where the user names none.
var pool = netip.MustParsePrefix("10.44.0.0/16")

// choose checks the subnet, or finds one that nobody has.
func (w *Network) choose(all []*Network) error {
	taken, err := routes()
	if err != nil {
		return err
	}
	for _, o := range all {
		taken = append(taken, o.Subnet)
	}
	if !w.Subnet.IsValid() {
		if w.Gateway.IsValid() || w.Range.IsValid() {
			return errors.New("a gateway or a range of addresses needs a subnet")
		}
		if w.Subnet, err = freeSubnet(taken); err != nil {
			return err
		}
	} else {
		w.Subnet = w.Subnet.Masked()
		for _, o := range all {
			if o.Subnet.Overlaps(w.Subnet) {
				return fmt.Errorf("Pool overlaps with other one on this address space: %s has %s", o.Name, o.Subnet)
			}
		}
	}
	switch {
	case !w.Subnet.Addr().Is4() || w.Subnet.Bits() > 30:
		return fmt.Errorf("subnet %s: want an IPv4 network with room for containers, such as 10.9.0.0/24", w.Subnet)
	case !w.Gateway.IsValid():
		w.Gateway = w.Subnet.Addr().Next()
	case !w.Subnet.Contains(w.Gateway):
		return fmt.Errorf("no matching subnet for gateway %s", w.Gateway)
	}
	if w.Range.IsValid() && (!w.Subnet.Contains(w.Range.Addr()) || w.Range.Bits() < w.Subnet.Bits()) {
		return fmt.Errorf("no matching subnet for range %s", w.Range)
	}
	return nil
}

func freeSubnet(taken []netip.Prefix) (netip.Prefix, error) {
	a := pool.Addr().As4()
	for i := range 256 {
		a[2] = byte(i)
		p := netip.PrefixFrom(netip.AddrFrom4(a), 24)
		if !slices.ContainsFunc(taken, p.Overlaps) {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("no free subnet is left in %s: name one with --subnet", pool)
}

// choose6 checks the IPv6 subnet of a network that has one.
func (w *Network) choose6(all []*Network) error {
	if !w.Subnet6.IsValid() {
		if w.Gateway6.IsValid() {
			return fmt.Errorf("no matching subnet for gateway %s", w.Gateway6)
		}
		return nil
	}
	w.Subnet6 = w.Subnet6.Masked()
	for _, o := range all {
		if o.Subnet6.IsValid() && o.Subnet6.Overlaps(w.Subnet6) {
			return fmt.Errorf("Pool overlaps with other one on this address space: %s has %s", o.Name, o.Subnet6)
		}
	}
	switch {
	case w.Subnet6.Addr().Is4() || w.Subnet6.Bits() > 125:
		return fmt.Errorf("subnet %s: want an IPv6 network with room for containers, such as fd00:9::/64", w.Subnet6)
	case !w.Gateway6.IsValid():
		w.Gateway6 = w.Subnet6.Addr().Next()
	case !w.Subnet6.Contains(w.Gateway6):
		return fmt.Errorf("no matching subnet for gateway %s", w.Gateway6)
	}
	return nil
}

// LocalSubnet6 is a /64 that nobody else is likely to have (RFC 4193).
func LocalSubnet6() netip.Prefix {
	a := [16]byte{0xfd}
	_, _ = rand.Read(a[1:8]) // never fails
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

// address is the one asked for, if it is free, or the first that is.
func (w *Network) address(want netip.Addr, all []*Member) (netip.Addr, error) {
	from := w.Subnet
	if w.Range.IsValid() {
		from = w.Range
	}
	return w.free(want, w.Subnet, from, all)
}

// address6 is the same for IPv6; not valid in a network without.
func (w *Network) address6(want netip.Addr, all []*Member) (netip.Addr, error) {
	if !w.Subnet6.IsValid() && !want.IsValid() {
		return netip.Addr{}, nil
	}
	return w.free(want, w.Subnet6, w.Subnet6, all)
}

func (w *Network) free(want netip.Addr, subnet, from netip.Prefix, all []*Member) (netip.Addr, error) {
	used := map[netip.Addr]bool{w.Gateway: true, w.Gateway6: true, subnet.Addr(): true}
	for _, m := range all {
		if p := m.in(w.ID); p != nil {
			used[p.IP], used[p.IP6] = true, true
		}
	}
	if want.IsValid() {
		if !subnet.IsValid() || !subnet.Contains(want) {
			return want, fmt.Errorf("invalid endpoint settings: no configured subnet contains IP address %s", want)
		}
		if used[want] {
			return want, fmt.Errorf("Address already in use: %s", want)
		}
		return want, nil
	}
	for a := from.Addr(); from.Contains(a) && subnet.Contains(a.Next()); a = a.Next() { // the last one is the broadcast
		if !used[a] {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no available addresses on network %s: all of %s are taken", w.Name, from)
}
