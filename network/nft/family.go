package nft

import (
	"net/netip"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// Family is one of the two address families: each has tables of its own, alike but for sizes and offsets.
type Family struct {
	// Name is "IPv4" or "IPv6", for messages.
	Name string
	// Bits of an address: 32 or 128.
	Bits int

	table    nftables.TableFamily
	source   uint32 // where the source address is in the network header
	addrType nftables.SetDatatype
}

// V4 is IPv4.
func V4() Family {
	return Family{Name: "IPv4", Bits: 32, table: nftables.TableFamilyIPv4, source: 12, addrType: nftables.TypeIPAddr}
}

// V6 is IPv6.
func V6() Family {
	return Family{Name: "IPv6", Bits: 128, table: nftables.TableFamilyIPv6, source: 8, addrType: nftables.TypeIP6Addr}
}

// Of returns addr's family.
func Of(addr netip.Addr) Family {
	if addr.Unmap().Is4() {
		return V4()
	}
	return V6()
}

// Has tells whether addr is of this family.
func (f Family) Has(addr netip.Addr) bool { return addr.IsValid() && addr.Unmap().BitLen() == f.Bits }

// Registers is how many 32-bit registers an address takes.
func (f Family) Registers() uint32 { return uint32(f.Bits) / 32 }

// Loopback are the addresses that no packet on a wire may have.
func (f Family) Loopback() netip.Prefix {
	if f.Bits == 32 {
		return netip.MustParsePrefix("127.0.0.0/8")
	}
	return netip.MustParsePrefix("::1/128")
}

// Multicast are the addresses of groups.
func (f Family) Multicast() netip.Prefix {
	if f.Bits == 32 {
		return netip.MustParsePrefix("224.0.0.0/4")
	}
	return netip.MustParsePrefix("ff00::/8")
}

// Addr is the set type of an address of this family.
func (f Family) Addr() nftables.SetDatatype { return f.addrType }

func (f Family) bytes() uint32 { return uint32(f.Bits) / 8 }

func (f Family) protocol() uint32 {
	if f.Bits == 32 {
		return unix.NFPROTO_IPV4
	}
	return unix.NFPROTO_IPV6
}

// Select returns the prefixes of this family.
func (f Family) Select(prefixes []netip.Prefix) []netip.Prefix {
	var own []netip.Prefix
	for _, p := range prefixes {
		if f.Has(p.Addr()) {
			own = append(own, p.Masked())
		}
	}
	return own
}
