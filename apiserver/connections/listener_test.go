package connections

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"dhow/internal/logtest"
)

func listening(t *testing.T, most int, log *slog.Logger) *Listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Limit(inner, most, log)
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestAConnectionBeyondTheLimitWaitsUntilAnotherEnds(t *testing.T) {
	out := &logtest.Buffer{}
	l := listening(t, 2, slog.New(slog.NewTextHandler(out, nil)))
	for range 3 {
		dial(t, l)
	}
	var open []net.Conn
	for range 2 {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	third := make(chan error, 1)
	go func() { _, err := l.Accept(); third <- err }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !out.Has("level=WARN") { // until it waits
		select {
		case err := <-third:
			t.Fatalf("a third was accepted: %v", err)
		case <-tick.C:
		}
	}
	select {
	case err := <-third:
		t.Fatalf("a third was accepted: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	open[0].Close()
	open[0].Close() // twice gives one place only
	if err := <-third; err != nil {
		t.Error(err)
	}
	if n := strings.Count(out.String(), "level=WARN"); n != 1 {
		t.Errorf("told %d times: %s", n, out.String())
	}
	fourth := make(chan error, 1)
	go func() { _, err := l.Accept(); fourth <- err }()
	l.Close()
	if err := <-fourth; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a closed listener: %v", err)
	}
}

func TestAResetIsTheEnd(t *testing.T) {
	l := listening(t, 1, slog.New(slog.DiscardHandler))
	client := dial(t, l).(*net.TCPConn)
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	client.Close()
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("Read of a connection that was reset: %v", err)
	}
}
