package cli

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsServer says that every name that begins with known has the address, and that there are no others; until it is killed.
func dnsServer(at, address string) int {
	l, err := net.ListenPacket("udp", at)
	for err == nil {
		var from net.Addr
		n, data := 0, make([]byte, 1500)
		if n, from, err = l.ReadFrom(data); err != nil {
			break
		}
		var m dnsmessage.Message
		if m.Unpack(data[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
		switch {
		case !strings.HasPrefix(q.Name.String(), "known"):
			m.RCode = dnsmessage.RCodeNameError
		case q.Type == dnsmessage.TypeA:
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(address).As4()},
			}}
		}
		if data, err = m.Pack(); err == nil {
			_, err = l.WriteTo(data, from)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}
