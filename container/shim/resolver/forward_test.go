package resolver

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// answering says for each query which packets to send back.
type answering func(query []byte, network string) [][]byte

// upstreams are servers at 127.0.0.x, by their addresses, that share a port.
func upstreams(t *testing.T, servers map[string]answering) (port int) {
	t.Helper()
	for range 16 { // a port that is free at one address may be taken at another
		packets, streams := map[string]net.PacketConn{}, map[string]net.Listener{}
		closeAll := func() {
			for _, c := range packets {
				c.Close()
			}
			for _, l := range streams {
				l.Close()
			}
		}
		var err error
		port = 0
		for at := range servers {
			if packets[at], err = net.ListenPacket("udp", net.JoinHostPort(at, strconv.Itoa(port))); err != nil {
				delete(packets, at)
				break
			}
			port = packets[at].LocalAddr().(*net.UDPAddr).Port
			if streams[at], err = net.Listen("tcp", packets[at].LocalAddr().String()); err != nil {
				delete(streams, at)
				break
			}
		}
		if err != nil {
			closeAll()
			continue
		}
		t.Cleanup(closeAll)
		for at, answer := range servers {
			go answerPackets(packets[at], answer)
			go answerStreams(streams[at], answer)
		}
		return port
	}
	t.Fatal("no port is free at all addresses")
	return 0
}

// upstream is one of them alone.
func upstream(t *testing.T, at string, answer answering) (port int) {
	t.Helper()
	return upstreams(t, map[string]answering{at: answer})
}

func answerPackets(packets net.PacketConn, answer answering) {
	b := make([]byte, 1<<16)
	for {
		n, from, err := packets.ReadFrom(b)
		if err != nil {
			return
		}
		for _, a := range answer(slices.Clone(b[:n]), "udp") {
			_, _ = packets.WriteTo(a, from)
		}
	}
}

func answerStreams(streams net.Listener, answer answering) {
	for {
		conn, err := streams.Accept()
		if err != nil {
			return
		}
		b := make([]byte, 2)
		if _, err = io.ReadFull(conn, b); err == nil {
			b = make([]byte, binary.BigEndian.Uint16(b))
			_, err = io.ReadFull(conn, b)
		}
		if err == nil {
			for _, a := range answer(b, "tcp") {
				_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
			}
		}
		conn.Close()
	}
}

// says answers a query by an address, or by a code.
func says(query []byte, code byte, address ...byte) []byte {
	q, _, _ := parse(query)
	b := answer(query, q, nil, datagram)
	if len(address) > 0 {
		b = answer(query, q, [][]byte{address}, datagram)
	}
	b[3] |= code
	return b
}

func one(p ...[]byte) [][]byte { return p }

func TestOtherNamesAreAskedElsewhere(t *testing.T) {
	port := upstream(t, "127.0.0.21", func(query []byte, _ string) [][]byte { return one(says(query, 0, 192, 0, 2, 9)) })
	s, _ := serve(t, table, port, "127.0.0.21")
	for _, network := range []string{"udp", "tcp"} {
		if got := shown(t, exchanged(t, s, network, query(t, "elsewhere.example.", dnsmessage.TypeA))); got != "Success 192.0.2.9" {
			t.Errorf("by %s: %q", network, got)
		}
	}
}

func TestTheNextServerIsAskedAfterOneThatFails(t *testing.T) {
	port := upstreams(t, map[string]answering{
		"127.0.0.22": func(query []byte, _ string) [][]byte { return one(says(query, 0, 192, 0, 2, 9)) },
		"127.0.0.23": func(query []byte, _ string) [][]byte { return one(says(query, serverFailure)) },
		"127.0.0.24": func(query []byte, _ string) [][]byte { return one(says(query, 3)) },
		"127.0.0.26": func(query []byte, _ string) [][]byte {
			strange, other := says(query, 0, 6, 6, 6, 6), says(query, 0, 6, 6, 6, 6)
			strange[0]++
			other[headerSize+1] ^= 1
			return [][]byte{nil, {1, 2, 3}, query, strange, other, says(query, 0, 192, 0, 2, 10)}
		},
	})
	for name, c := range map[string]struct {
		servers []string
		want    string
	}{
		"an error":          {[]string{"127.0.0.23", "127.0.0.22"}, "Success 192.0.2.9"},
		"nobody there":      {[]string{"127.0.0.25", "127.0.0.22"}, "Success 192.0.2.9"},
		"no such name":      {[]string{"127.0.0.24", "127.0.0.22"}, "NameError"},
		"errors only":       {[]string{"127.0.0.25", "127.0.0.23"}, "ServerFailure"},
		"no address at all": {[]string{"fe80::1%eth0", "127.0.0.11", "127.0.0.22"}, "Success 192.0.2.9"},
		"others' answers":   {[]string{"127.0.0.26"}, "Success 192.0.2.10"},
	} {
		s, _ := serve(t, table, port, c.servers...)
		if got := shown(t, exchanged(t, s, "udp", query(t, "elsewhere.", dnsmessage.TypeA))); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestATruncatedAnswerIsPassedOnAndAskedForByTCP(t *testing.T) {
	port := upstream(t, "127.0.0.27", func(query []byte, network string) [][]byte {
		a := says(query, 0, 192, 0, 2, 9)
		if network == "udp" {
			a = says(query, 0)
			a[2] |= isTruncated
		}
		return one(a)
	})
	s, _ := serve(t, table, port, "127.0.0.27")
	if got := shown(t, exchanged(t, s, "udp", query(t, "long.example.", dnsmessage.TypeA))); got != "Success TC" {
		t.Errorf("by udp: %q", got)
	}
	if got := shown(t, exchanged(t, s, "tcp", query(t, "long.example.", dnsmessage.TypeA))); got != "Success 192.0.2.9" {
		t.Errorf("by tcp: %q", got)
	}
}

func TestServersThatAreSilentDoNotHoldUpNames(t *testing.T) {
	var asked atomic.Int32
	full := make(chan struct{})
	port := upstream(t, "127.0.0.28", func([]byte, string) [][]byte {
		if asked.Add(1) == mostForwards {
			close(full)
		}
		return nil
	})
	s, _ := serve(t, table, port, "127.0.0.28")
	conn, err := net.Dial("udp", "127.0.0.11:"+strconv.Itoa(s.Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range mostForwards {
		if _, err := conn.Write(query(t, "silent.example.", dnsmessage.TypeA)); err != nil {
			t.Fatal(err)
		}
	}
	<-full
	if got := shown(t, exchanged(t, s, "udp", query(t, "web.", dnsmessage.TypeA))); got != "Success 172.18.0.2" {
		t.Errorf("a name of the file: %q", got)
	}
	if got := shown(t, exchanged(t, s, "udp", query(t, "more.example.", dnsmessage.TypeA))); got != "Refused" {
		t.Errorf("one query more: %q", got)
	}
}
