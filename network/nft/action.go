package nft

import (
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Jump goes through another chain and comes back.
func Jump(c *nftables.Chain) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: c.Name}}
}

// Drop ends the packet.
func Drop() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }

// Accept ends this hook's chains of this table.
func Accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }

// Reset answers with a TCP reset; the rule must match TCP only.
func Reset() []expr.Any { return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}} }

// Unreachable answers with ICMP "port unreachable".
func (f Family) Unreachable() []expr.Any {
	code := uint8(3) // RFC 792, destination unreachable: port
	if f.Bits == 128 {
		code = 4 // RFC 4443, section 3.1
	}
	return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: code}}
}

// RedirectTo changes the destination to the address in register reg and the port in the register behind it.
func (f Family) RedirectTo(reg uint32) []expr.Any {
	return []expr.Any{&expr.NAT{Type: expr.NATTypeDestNAT, Family: f.protocol(), RegAddrMin: reg,
		RegProtoMin: reg + f.Registers()}}
}

// Masquerade changes the source to an address of this machine, and the port to a random one.
func Masquerade() []expr.Any { return []expr.Any{&expr.Masq{FullyRandom: true}} }

// SetMark sets the bits of mark on the packet.
func SetMark(mark uint32) []expr.Any { return changeMark(^mark, mark) }

// ClearMark clears the bits of mark on the packet.
func ClearMark(mark uint32) []expr.Any { return changeMark(^mark, 0) }

func changeMark(mask, xor uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: R0},
		&expr.Bitwise{SourceRegister: R0, DestRegister: R0, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(mask), Xor: binaryutil.NativeEndian.PutUint32(xor)},
		&expr.Meta{Key: expr.MetaKeyMARK, Register: R0, SourceRegister: true},
	}
}

// Random puts a number below n into register reg.
func Random(n int, reg uint32) []expr.Any {
	return []expr.Any{&expr.Numgen{Register: reg, Modulus: uint32(n), Type: unix.NFT_NG_RANDOM}}
}

// Remember writes key → value into a map of its own accord, or prolongs the entry that is there; it is forgotten
// when it was not written for timeout.
func Remember(s *nftables.Set, key, value uint32, timeout time.Duration) []expr.Any {
	return []expr.Any{&expr.Dynset{SrcRegKey: key, SrcRegData: value, SetName: s.Name, SetID: s.ID,
		Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: timeout}}
}

// Forget removes the entry of the key in register key from a map that Remember writes. The key is not shorter than
// the value.
func Forget(s *nftables.Set, key uint32) []expr.Any {
	const dynsetDelete = 2 // NFT_DYNSET_OP_DELETE, include/uapi/linux/netfilter/nf_tables.h
	// The kernel wants a value's register for a map even here, and looks at it no further: any loaded one will do.
	return []expr.Any{&expr.Dynset{SrcRegKey: key, SrcRegData: key, SetName: s.Name, SetID: s.ID, Operation: dynsetDelete}}
}
