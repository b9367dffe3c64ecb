package networks

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netns"

	"dhow/network/nft"
)

// Resolver is where containers on networks that users made ask for names, as with docker.
var Resolver = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// resolverTable is in the container's network namespace.
const resolverTable = "dhow-resolver"

// LeadToResolver leads what a container sends to port 53 of Resolver to another port of it. Port 53 of all other addresses is
// the container's to use.
func LeadToResolver(netnsPath string, port int) error {
	ns, err := netns.GetFromPath(netnsPath)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", netnsPath, err)
	}
	defer ns.Close()
	socket := nft.Socket{NetNS: int(ns)}
	defer socket.Close()
	err = socket.Change(func(b *nft.Batch) {
		f := nft.V4()
		out := b.Hook(b.Table(f, resolverTable), "ask", nftables.ChainTypeNAT, nftables.ChainHookOutput, *nftables.ChainPriorityNATDest)
		for _, protocol := range []byte{nft.UDP, nft.TCP} {
			b.Rule(out, f.DestinationIn(netip.PrefixFrom(Resolver, 32)), nft.Protocol(protocol), toDNS(),
				f.LoadAddr(nft.R0, Resolver), loadPort(nft.R0+1, port), f.RedirectTo(nft.R0))
		}
	})
	if err != nil {
		return fmt.Errorf("lead containers to their DNS server at %s (the kernel must have nftables with NAT): %w", Resolver, err)
	}
	return nil
}

// toDNS matches packets to the port of DNS servers.
func toDNS() []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: nft.R0, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: nft.R0, Data: []byte{0, 53}},
	}
}

func loadPort(register uint32, port int) []expr.Any {
	return []expr.Any{&expr.Immediate{Register: register, Data: binary.BigEndian.AppendUint16(nil, uint16(port))}}
}
