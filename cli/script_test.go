package cli

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"dhow/internal/imagebuild"
)

// serveRegistry runs a registry on loopback until it is killed, and writes its address to a file.
func serveRegistry(file string) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		err = os.WriteFile(file+".new", []byte(l.Addr().String()), 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err == nil {
		err = http.Serve(l, withPassword(imagebuild.Registry()))
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// withPassword lets only alice write to what begins with private, and read it.
func withPassword(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, given := r.BasicAuth()
		known := user == "alice" && password == "open sesame"
		if given && !known || strings.HasPrefix(r.URL.Path, "/v2/private/") && !known || r.URL.Path == "/v2/" && !known {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// registryAddress waits for the registry's file and puts the address into $REGISTRY.
func registryAddress(ts *testscript.TestScript, neg bool, args []string) {
	deadline, tick := time.After(time.Minute), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		if data, err := os.ReadFile(ts.MkAbs(args[0])); err == nil {
			ts.Setenv("REGISTRY", string(data))
			return
		}
		select {
		case <-deadline:
			ts.Fatalf("the registry did not start")
		case <-tick.C:
		}
	}
}

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"dhow":      func() { os.Exit(Main(os.Args)) },
		"dhow-oci":  func() { os.Exit(Main(os.Args)) },
		"registry":  func() { os.Exit(serveRegistry(os.Args[1])) },
		"udpecho":   func() { os.Exit(udpEcho(os.Args[1])) },
		"udpask":    func() { os.Exit(udpAsk(os.Args[1])) },
		"dnsserver": func() { os.Exit(dnsServer(os.Args[1], os.Args[2])) },
	})
}

// TestScripts runs testdata/*.txtar: what a user types and what comes back.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: map[string]func(*testscript.TestScript, bool, []string){"registry-address": registryAddress}})
}

// udpEcho answers each packet with what it says, until it is killed.
func udpEcho(address string) int {
	l, err := net.ListenPacket("udp", address)
	for err == nil {
		var from net.Addr
		n, data := 0, make([]byte, 1500)
		if n, from, err = l.ReadFrom(data); err == nil {
			_, err = l.WriteTo(append([]byte("echo of "), data[:n]...), from)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// udpAsk sends a packet and prints what comes back within a second.
func udpAsk(address string) int {
	conn, err := net.Dial("udp", address)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(time.Second))
	}
	if err == nil {
		_, err = conn.Write([]byte("ping"))
	}
	data := make([]byte, 1500)
	n := 0
	if err == nil {
		n, err = conn.Read(data)
	}
	fmt.Println(string(data[:n]))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 0
}
