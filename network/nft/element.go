package nft

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Last returns the last address of a prefix.
func Last(p netip.Prefix) netip.Addr {
	bytes := p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 1 << (7 - bit%8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}

// Types of the parts of a set's key, beside Family.Addr.
var (
	Proto  = nftables.TypeInetProto
	Port   = nftables.TypeInetService
	Number = nftables.TypeMark
)

// concat joins types; the library's own function panics where it should not matter.
func concat(types []nftables.SetDatatype) nftables.SetDatatype {
	if len(types) == 1 {
		return types[0]
	}
	return nftables.MustConcatSetType(types...)
}

// NewSet describes a set whose keys are concatenations of the types.
func NewSet(t *nftables.Table, name string, key ...nftables.SetDatatype) *nftables.Set {
	return &nftables.Set{Table: t, Name: name, KeyType: concat(key), Concatenation: len(key) > 1}
}

// NewMap describes a map from concatenated keys to concatenated values.
func NewMap(t *nftables.Table, name string, key, value []nftables.SetDatatype) *nftables.Set {
	s := NewSet(t, name, key...)
	s.IsMap, s.DataType = true, concat(value)
	return s
}

// NewVerdicts describes a map from concatenated keys to what to do.
func NewVerdicts(t *nftables.Table, name string, key ...nftables.SetDatatype) *nftables.Set {
	s := NewSet(t, name, key...)
	s.IsMap, s.DataType = true, nftables.TypeVerdict
	return s
}

// NewRanges describes a set whose elements are ranges of concatenated keys.
func NewRanges(t *nftables.Table, name string, key ...nftables.SetDatatype) *nftables.Set {
	s := NewSet(t, name, key...)
	s.Interval = true
	return s
}

// Learned makes a map one that rules write to by Remember; at most size entries.
func Learned(s *nftables.Set, size uint32) *nftables.Set {
	s.Dynamic, s.HasTimeout, s.Size, s.Timeout = true, true, size, time.Hour
	return s
}

// Key is the bytes of a concatenated key or value: every part begins at a multiple of four bytes.
type Key []byte

// Addr appends an address.
func (k Key) Addr(a netip.Addr) Key { return append(k, a.Unmap().AsSlice()...) }

// Proto appends a protocol number.
func (k Key) Proto(p byte) Key { return append(k, p, 0, 0, 0) }

// Port appends a port.
func (k Key) Port(p uint16) Key { return append(k, byte(p>>8), byte(p), 0, 0) }

// Number appends a number as a register holds it.
func (k Key) Number(n uint32) Key { return binary.NativeEndian.AppendUint32(k, n) }

// Element is a set's element.
func Element(key Key) nftables.SetElement { return nftables.SetElement{Key: key} }

// Range is an element of NewRanges: all keys whose every part lies between those of first and last.
func Range(first, last Key) nftables.SetElement { return nftables.SetElement{Key: first, KeyEnd: last} }

// Entry is a map's element.
func Entry(key, value Key) nftables.SetElement { return nftables.SetElement{Key: key, Val: value} }

// Goto is a verdict map's element that continues in a chain.
func Goto(key Key, chain string) nftables.SetElement {
	return nftables.SetElement{Key: key, VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}}
}
