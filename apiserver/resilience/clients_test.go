package resilience

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	restclient "k8s.io/client-go/rest"

	"dhow/apiserver/apiservertest"
)

// clientsKey names, in the environment, what a child process does.
const clientsKey = "DHOW_TEST_CLIENTS"

// work is what a child does: its clients' memory and open files are not the server's.
type work struct {
	Count     int
	Watch     bool // else connections that have asked once and stay
	Host      string
	TLS       restclient.TLSClientConfig
	PerSocket int
}

// clients are count clients in a process of their own; release ends some of them, or all.
type clients struct {
	release io.WriteCloser
	wait    func() error
	ready   chan int
}

// startClients starts as many as w says; ready tells how many have been answered, again and again.
func startClients(t *testing.T, c *apiservertest.Cluster, w work) *clients {
	t.Helper()
	w.Host, w.TLS = c.Config.Host, c.Config.TLSClientConfig
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestClientsChild$")
	cmd.Env, cmd.Stderr = append(os.Environ(), clientsKey+"="+string(text)), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	all := &clients{release: in, wait: sync.OnceValue(cmd.Wait), ready: make(chan int, w.Count)}
	go func() {
		for lines, n := bufio.NewScanner(out), 0; lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "answered") {
				n++
				all.ready <- n
			}
		}
	}()
	t.Cleanup(all.end)
	return all
}

// end closes all connections and waits for the child.
func (c *clients) end() {
	c.release.Close()
	_ = c.wait() // how it ends says nothing
}

func TestClientsChild(t *testing.T) {
	var w work
	if text := os.Getenv(clientsKey); text == "" {
		return // it is the others' child
	} else if err := json.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(err)
	}
	slots := make(chan struct{}, 64) // so many are on their way at once
	var client *http.Client
	config := idleTLS()
	for i := range w.Count {
		if w.Watch {
			if i%w.PerSocket == 0 {
				own := &restclient.Config{Host: w.Host, TLSClientConfig: w.TLS, Dial: (&net.Dialer{}).DialContext} // no shared connection
				client = httpClient(t, own)
			}
			watchIdly(t, client, w.Host)
			continue
		}
		go func() {
			slots <- struct{}{}
			connectIdly(strings.TrimPrefix(w.Host, "https://"), config)
			<-slots
		}()
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent has closed it
	os.Exit(0)
}

func watchIdly(t *testing.T, client *http.Client, host string) {
	t.Helper()
	response, err := client.Get(host + mapsPath + "?watch=true&resourceVersion=0")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, response.Body) }()
	fmt.Println("answered")
}

// idleTLS is as cheap as can be, and checks not whom it bothers.
func idleTLS() *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}, ServerName: "server",
		CurvePreferences: []tls.CurveID{tls.X25519}, ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
}

// connectIdly opens a connection, asks for the version and stays.
func connectIdly(address string, config *tls.Config) {
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	if _, err := io.WriteString(conn, "GET /version HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(conn, first); err != nil {
		return // the server closed it
	}
	fmt.Println("answered")
	go func() { _, _ = io.Copy(io.Discard, conn) }() // keeps it reachable
}
