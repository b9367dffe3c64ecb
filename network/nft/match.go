package nft

import (
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// R0 is the first of the sixteen 32-bit registers, R0 … R0+15.
const R0 = unix.NFT_REG32_00

// Protocol numbers of what has ports.
const (
	TCP  = unix.IPPROTO_TCP
	UDP  = unix.IPPROTO_UDP
	SCTP = unix.IPPROTO_SCTP
)

// LoadSource puts the source address into register reg and following.
func (f Family) LoadSource(reg uint32) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: f.source, Len: f.bytes()}}
}

// LoadDestination puts the destination address into register reg and following.
func (f Family) LoadDestination(reg uint32) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: f.source + f.bytes(),
		Len: f.bytes()}}
}

// LoadAddr puts a constant address into register reg and following.
func (f Family) LoadAddr(reg uint32, addr netip.Addr) []expr.Any {
	return []expr.Any{&expr.Immediate{Register: reg, Data: addr.AsSlice()}}
}

// LoadService puts the protocol into register reg and the destination port into the next.
func LoadService(reg uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg},
		&expr.Payload{DestRegister: reg + 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	}
}

// Protocol matches one transport protocol.
func Protocol(number byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: R0},
		&expr.Cmp{Op: expr.CmpOpEq, Register: R0, Data: []byte{number}},
	}
}

// SourceIn matches packets from prefix.
func (f Family) SourceIn(prefix netip.Prefix) []expr.Any {
	return within(f.LoadSource(R0), prefix, expr.CmpOpEq)
}

// SourceNotIn matches packets from none of the prefixes.
func (f Family) SourceNotIn(prefixes []netip.Prefix) []expr.Any {
	var all []expr.Any
	for _, p := range prefixes {
		all = append(all, within(f.LoadSource(R0), p, expr.CmpOpNeq)...)
	}
	return all
}

// DestinationIn matches packets to prefix.
func (f Family) DestinationIn(prefix netip.Prefix) []expr.Any {
	return within(f.LoadDestination(R0), prefix, expr.CmpOpEq)
}

// DestinationNotIn matches packets to none of the prefixes.
func (f Family) DestinationNotIn(prefixes []netip.Prefix) []expr.Any {
	var all []expr.Any
	for _, p := range prefixes {
		all = append(all, within(f.LoadDestination(R0), p, expr.CmpOpNeq)...)
	}
	return all
}

func within(load []expr.Any, prefix netip.Prefix, op expr.CmpOp) []expr.Any {
	bits := prefix.Addr().BitLen()
	return append(load,
		&expr.Bitwise{SourceRegister: R0, DestRegister: R0, Len: uint32(bits / 8),
			Mask: net.CIDRMask(prefix.Bits(), bits), Xor: make([]byte, bits/8)},
		&expr.Cmp{Op: op, Register: R0, Data: prefix.Masked().Addr().AsSlice()},
	)
}

// DestinationLocal matches packets to an address of this machine.
func DestinationLocal() []expr.Any {
	return addressType(&expr.Fib{Register: R0, ResultADDRTYPE: true, FlagDADDR: true})
}

// SourceLocal matches packets from an address of this machine.
func SourceLocal() []expr.Any {
	return addressType(&expr.Fib{Register: R0, ResultADDRTYPE: true, FlagSADDR: true})
}

func addressType(fib *expr.Fib) []expr.Any {
	return []expr.Any{fib, &expr.Cmp{Op: expr.CmpOpEq, Register: R0, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)}}
}

// InLink matches packets that came in by a link whose name begins with prefix.
func InLink(prefix string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: R0},
		&expr.Cmp{Op: expr.CmpOpEq, Register: R0, Data: []byte(prefix)},
	}
}

// OutLink matches packets that go out by a link whose name begins with prefix.
func OutLink(prefix string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: R0},
		&expr.Cmp{Op: expr.CmpOpEq, Register: R0, Data: []byte(prefix)},
	}
}

// NotOutLoopback matches packets that do not go out by the loopback link.
func NotOutLoopback() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: R0},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: R0, Data: []byte("lo\x00")},
	}
}

// Redirected matches packets of connections whose destination was changed (conntrack's IPS_DST_NAT).
func Redirected() []expr.Any {
	const dstNAT = 1 << 5
	return []expr.Any{&expr.Ct{Key: expr.CtKeySTATUS, Register: R0}, masked(dstNAT),
		&expr.Cmp{Op: expr.CmpOpNeq, Register: R0, Data: make([]byte, 4)}}
}

// New matches the first packets of connections.
func New() []expr.Any {
	return []expr.Any{&expr.Ct{Key: expr.CtKeySTATE, Register: R0}, masked(expr.CtStateBitNEW),
		&expr.Cmp{Op: expr.CmpOpNeq, Register: R0, Data: make([]byte, 4)}}
}

// Marked matches packets with all bits of mark set.
func Marked(mark uint32) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyMARK, Register: R0}, masked(mark),
		&expr.Cmp{Op: expr.CmpOpEq, Register: R0, Data: binaryutil.NativeEndian.PutUint32(mark)}}
}

func masked(mask uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: R0, DestRegister: R0, Len: 4,
		Mask: binaryutil.NativeEndian.PutUint32(mask), Xor: make([]byte, 4)}
}

// In matches when the key that begins in register reg is in the set.
func In(s *nftables.Set, reg uint32) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: reg, SetName: s.Name, SetID: s.ID}}
}

// NotIn matches when the key that begins in register reg is not in the set.
func NotIn(s *nftables.Set, reg uint32) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: reg, SetName: s.Name, SetID: s.ID, Invert: true}}
}

// Map puts what the map has for the key in register reg into register to; without an entry the rule ends.
func Map(s *nftables.Set, reg, to uint32) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: reg, SetName: s.Name, SetID: s.ID, DestRegister: to, IsDestRegSet: true}}
}

// Dispatch does what the verdict map says for the key in register reg; without an entry the rule ends.
func Dispatch(s *nftables.Set, reg uint32) []expr.Any {
	return Map(s, reg, unix.NFT_REG_VERDICT)
}
