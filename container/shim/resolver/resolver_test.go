package resolver

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const table = `127.0.0.1	localhost
::1	localhost
172.18.0.2	web 0123456789ab www # Web2
172.18.0.3	DB
172.18.0.4	both
172.18.0.5	both
fd00::5	both
fd00::6	six.example
nonsense	wrong
`

// serve starts a resolver of a hosts file, with upstream servers at loopback addresses that share a port.
func serve(t *testing.T, hosts string, port int, upstream ...string) (s *Server, file string) {
	t.Helper()
	s, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	s.patience, s.lastPatience = time.Minute, time.Minute // however busy the machine, a server here answers or is not there
	file = filepath.Join(t.TempDir(), "hosts")
	write(t, file, hosts)
	s.use(file, port, Upstream{Addresses: upstream})
	done := make(chan struct{})
	go func() { defer close(done); s.Serve() }()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
	return s, file
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func query(t *testing.T, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 4711, RecursionDesired: true})
	err := b.StartQuestions()
	if err == nil {
		err = b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET})
	}
	packet, err2 := b.Finish()
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return packet
}

// exchanged sends a packet and returns what comes back.
func exchanged(t *testing.T, s *Server, network string, packet []byte) []byte {
	t.Helper()
	conn, err := net.Dial(network, fmt.Sprintf("127.0.0.11:%d", s.Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	if network == "tcp" {
		packet = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
	}
	if _, err := conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1<<16)
	n, err := conn.Read(got)
	for network == "tcp" && err == nil && (n < 2 || n < 2+int(binary.BigEndian.Uint16(got))) {
		var more int
		more, err = conn.Read(got[n:])
		n += more
	}
	if err != nil {
		t.Fatal(err)
	}
	if network == "tcp" {
		return got[2:n]
	}
	return got[:n]
}

// shown is an answer in short: its code, TC, and what its records say, sorted.
func shown(t *testing.T, packet []byte) string {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(packet); err != nil {
		t.Fatalf("the answer is not DNS: %v", err)
	}
	if m.ID != 4711 || !m.Response || !m.RecursionAvailable {
		t.Errorf("header %+v", m.Header)
	}
	words := []string{strings.TrimPrefix(m.RCode.String(), "RCode")}
	if m.Truncated {
		words = append(words, "TC")
	}
	var data []string
	for _, r := range m.Answers {
		switch body := r.Body.(type) {
		case *dnsmessage.AResource:
			data = append(data, netip.AddrFrom4(body.A).String())
		case *dnsmessage.AAAAResource:
			data = append(data, netip.AddrFrom16(body.AAAA).String())
		case *dnsmessage.PTRResource:
			data = append(data, body.PTR.String())
		}
		if r.Header.TTL != 600 {
			t.Errorf("ttl %d, want 600", r.Header.TTL)
		}
	}
	slices.Sort(data)
	return strings.Join(append(words, data...), " ")
}

func TestNamesOfTheHostsFile(t *testing.T) {
	s, _ := serve(t, table, 0)
	const a, aaaa, ptr = dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypePTR
	for _, c := range []struct {
		name string
		kind dnsmessage.Type
		want string
	}{
		{"web.", a, "Success 172.18.0.2"},
		{"WWW.", a, "Success 172.18.0.2"},
		{"db.", a, "Success 172.18.0.3"},
		{"0123456789ab.", a, "Success 172.18.0.2"},
		{"both.", a, "Success 172.18.0.4 172.18.0.5"},
		{"both.", aaaa, "Success fd00::5"},
		{"web.", aaaa, "Success"},
		{"six.example.", a, "Success"},
		{"web.", dnsmessage.TypeMX, "Success"},
		{"localhost.", a, "Success 127.0.0.1"},
		{"localhost.", aaaa, "Success ::1"},
		{"2.0.18.172.in-addr.arpa.", ptr, "Success web."},
		{"3.0.18.172.IN-ADDR.ARPA.", ptr, "Success DB."},
		{"6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.", ptr, "Success six.example."},
		// With no server to ask:
		{"web2.", a, "ServerFailure"},
		{"wrong.", a, "ServerFailure"},
		{"six.example.", dnsmessage.TypeMX, "ServerFailure"},
		{"9.0.18.172.in-addr.arpa.", ptr, "ServerFailure"},
		{".", a, "ServerFailure"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			if got := shown(t, exchanged(t, s, network, query(t, c.name, c.kind))); got != c.want {
				t.Errorf("%s %s by %s: %q, want %q", c.name, c.kind, network, got, c.want)
			}
		}
	}
}

func TestSeveralAddressesTakeTurns(t *testing.T) {
	s, _ := serve(t, table, 0)
	first := map[byte]bool{}
	for range 2 {
		packet := exchanged(t, s, "udp", query(t, "both.", dnsmessage.TypeA))
		first[packet[len(packet)-1]] = true
	}
	if len(first) != 2 {
		t.Error("the same address is first twice")
	}
}

func TestTheFileIsReadAgainWhenItChanges(t *testing.T) {
	s, file := serve(t, table, 0)
	ask := func() string { return shown(t, exchanged(t, s, "udp", query(t, "web.", dnsmessage.TypeA))) }
	for i, step := range []struct{ text, want string }{
		{"172.18.0.7 web\n", "Success 172.18.0.7"},
		{"172.18.0.8 web\n", "Success 172.18.0.8"}, // of the same size, perhaps at the same time
		{"", "Success 172.18.0.8"},                 // about to be written
		{"172.18.0.9 web\n172.18", "Success 172.18.0.8"},
		{"172.18.0.9 other\n", "ServerFailure"},
		{"# " + strings.Repeat("x", biggestFile) + "\n172.18.0.7 web\n", "ServerFailure"},
		{"172.18.0.9 web\n" + strings.Repeat("x", biggestFile), "Success 172.18.0.9"},
	} {
		write(t, file, step.text)
		if got := ask(); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != "Success 172.18.0.9" {
		t.Errorf("without the file: %q", got)
	}
}

func TestAnswersThatAreTooLongGoByTCP(t *testing.T) {
	var hosts strings.Builder
	for i := range 100 {
		fmt.Fprintf(&hosts, "172.18.1.%d\tmany\n", i)
	}
	s, _ := serve(t, hosts.String(), 0)
	got := strings.Fields(shown(t, exchanged(t, s, "udp", query(t, "many.", dnsmessage.TypeA))))
	if got[1] != "TC" || len(got) > 2+30 {
		t.Errorf("by udp: %q", got)
	}
	if got := strings.Fields(shown(t, exchanged(t, s, "tcp", query(t, "many.", dnsmessage.TypeA)))); len(got) != 1+100 {
		t.Errorf("by tcp: %q", got)
	}
}

func TestWhatIsNoQuery(t *testing.T) {
	s, _ := serve(t, table, 0)
	good := query(t, "web.", dnsmessage.TypeA)
	changed := func(at int, b byte) []byte {
		p := slices.Clone(good)
		p[at] = b
		return p
	}
	for name, c := range map[string]struct {
		packet []byte
		code   byte
	}{
		"an update":           {changed(2, 5<<3), notImplemented},
		"two questions":       {changed(5, 2), formatError},
		"no question":         {changed(5, 0), formatError},
		"a pointer as a name": {changed(12, 0xc0), formatError},
		"a name that is cut":  {good[:14], formatError},
		"no type":             {good[:len(good)-3], formatError},
	} {
		if got := exchanged(t, s, "udp", c.packet); got[3]&rcodes != c.code {
			t.Errorf("%s: code %d, want %d", name, got[3]&rcodes, c.code)
		}
	}
	for name, packet := range map[string][]byte{"a response": changed(2, 0x80), "a short packet": good[:11], "nothing": nil} {
		if reply, q := s.local(packet, datagram); reply != nil || q.raw != nil {
			t.Errorf("%s is answered: %x", name, reply)
		}
	}
}

func FuzzQueries(f *testing.F) {
	f.Add([]byte("\x12\x67\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x00\x00\x01\x00\x01"), []byte(table))
	f.Add([]byte("\x12\x67\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x012\x010\x0218\x03172\x07in-addr\x04arpa\x00\x00\x0c\x00\x01"), []byte(table))
	f.Fuzz(func(t *testing.T, packet, hosts []byte) {
		s := &Server{}
		s.hosts.text = hosts // which no file replaces
		reply, q := s.local(packet, datagram)
		if reply == nil {
			return
		}
		if len(reply) > datagram || !answers(reply, packet, q) {
			t.Fatalf("%x is answered by %x", packet, reply)
		}
		var m dnsmessage.Message
		if err := m.Unpack(reply); err != nil {
			t.Fatalf("%x is answered by %x: %v", packet, reply, err)
		}
	})
}

func FuzzAddresses(f *testing.F) {
	for _, text := range []string{"1.2.3.4", "::", "::1", "fd00::1:2", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4", "1::2::3", "01.2.3.4", "1:2:3:4:5:6:7::", ":1::", "1.2.3.4::"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := parseAddress(text)
		want, err := netip.ParseAddr(text)
		if known := err == nil && want.Zone() == ""; known != (got != nil) || known && !slices.Equal(got, want.AsSlice()) {
			t.Fatalf("%q: %v, and not %v", text, got, want)
		}
	})
}
