package agent

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// serve answers each line by it in capitals, until the listener ends.
func serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		buf := make([]byte, 64)
		n, _ := c.Read(buf)
		_, _ = io.WriteString(c, strings.ToUpper(string(buf[:n])))
		c.Close()
	}
}

func TestALoanPassesOnWhatTheAgentSaysUntilItIsClosed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40)) // longer than a socket's name can be
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	short, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	real := filepath.Join(short, "s")
	l, err := net.Listen("unix", real)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go serve(l)
	loan, err := Lend(real, dir, "s", 7, 8, 0o660)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "s"))
	if err != nil || info.Mode().Perm() != 0o660 || info.Mode().Type() != os.ModeSocket {
		t.Fatalf("the socket is %v, %v", info, err)
	}
	t.Chdir(dir)
	c, err := net.Dial("unix", "s")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "sign")
	answer, err := io.ReadAll(c)
	if string(answer) != "SIGN" || err != nil {
		t.Errorf("the answer is %q, %v", answer, err)
	}
	open, err := net.Dial("unix", "s")
	if err != nil {
		t.Fatal(err)
	}
	if err := loan.Close(); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAll(open); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("a connection lives on after Close: %v", err)
	}
	if _, err := net.Dial("unix", "s"); err == nil {
		t.Error("the socket is there after Close")
	}
}
