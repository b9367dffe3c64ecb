package networktest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// How long one question waits: Patience where an answer must come, however busy the machine is, and Brief to see that
// nothing answers.
const (
	Patience = time.Minute
	Brief    = 3 * time.Second
)

// Answer is what a server said.
type Answer struct {
	// Server is the name the server was started with; From is the client's address as the server saw it.
	Server, From string
}

// Place is where questions are asked and answered: the node itself or a Namespace.
type Place interface{ Do(f func() error) }

// Node is the machine that the tests run on.
type Node struct{ T testing.TB }

// Do runs f on the node.
func (n Node) Do(f func() error) {
	n.T.Helper()
	if err := f(); err != nil {
		n.T.Fatal(err)
	}
}

// Serve answers every question with name and the asker's address until the test ends. network is tcp or udp
// with an optional 4 or 6.
func Serve(t testing.TB, at Place, network, address, name string) io.Closer {
	t.Helper()
	var server io.Closer
	at.Do(func() error {
		if strings.HasPrefix(network, "tcp") {
			listener, err := net.Listen(network, address)
			if err != nil {
				return fmt.Errorf("listen: %w", err)
			}
			server = listener
			go serveTCP(listener, name)
			return nil
		}
		conn, err := net.ListenPacket(network, address)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		server = conn
		go serveUDP(conn, name)
		return nil
	})
	t.Cleanup(func() {
		if err := server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("close server %s: %v", name, err)
		}
	})
	return server
}

func serveTCP(listener net.Listener, name string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go answer(conn, name)
	}
}

// answer speaks first, then once more for every line.
func answer(conn net.Conn, name string) {
	defer conn.Close()
	reply := []byte(name + " " + host(conn.RemoteAddr()) + "\n")
	buf := make([]byte, 256)
	for {
		if _, err := conn.Write(reply); err != nil {
			return
		}
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}

func serveUDP(conn net.PacketConn, name string) {
	buf := make([]byte, 256)
	for {
		_, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if _, err := conn.WriteTo([]byte(name+" "+host(from)+"\n"), from); err != nil {
			return
		}
	}
}

func host(a net.Addr) string {
	h, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return h
}

// Ask connects from a place and returns the answer.
func Ask(from Place, network, address string) (Answer, error) {
	return ask(from, network, address, Patience)
}

// AskBriefly is Ask where silence is expected.
func AskBriefly(from Place, network, address string) (Answer, error) {
	return ask(from, network, address, Brief)
}

func ask(from Place, network, address string, limit time.Duration) (Answer, error) {
	var answer Answer
	var failure error
	from.Do(func() error {
		conn, err := net.DialTimeout(network, address, limit)
		if err != nil {
			failure = err
			return nil
		}
		defer conn.Close()
		answer, failure = On(conn, limit)
		return nil
	})
	return answer, failure
}

// On asks on a connection, and waits no longer than limit.
func On(conn net.Conn, limit time.Duration) (Answer, error) {
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return Answer{}, err
	}
	if _, err := conn.Write([]byte("?\n")); err != nil {
		return Answer{}, err
	}
	buf := make([]byte, 256)
	n, err := conn.Read(buf)
	if err != nil {
		return Answer{}, err
	}
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	server, from, _ := strings.Cut(line, " ")
	return Answer{Server: server, From: from}, nil
}

// MustAsk fails the test if there is no answer.
func MustAsk(t testing.TB, from Place, network, address string) Answer {
	t.Helper()
	a, err := Ask(from, network, address)
	if err != nil {
		t.Fatalf("ask %s %s: %v", network, address, err)
	}
	return a
}
