package resilience

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	restclient "k8s.io/client-go/rest"

	"dhow/apiserver/apiservertest"
)

// raw is an administrator's HTTP/1.1 connection with a small buffer, on which a test writes what it likes.
func raw(t *testing.T, c *apiservertest.Cluster) *tls.Conn {
	t.Helper()
	config, err := restclient.TLSConfigFor(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	config.NextProtos = []string{"http/1.1"}
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.Config.Host, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	config.ServerName = "127.0.0.1"
	return tls.Client(conn, config)
}

func TestBodiesThatTrickleHoldUpNobody(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	for range 50 {
		conn := raw(t, c)
		if _, err := io.WriteString(conn, "POST "+mapsPath+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
	}
	r := do(t, httpClient(t, c.Config), http.MethodPost, c.Config.Host+mapsPath, "application/json", `{"metadata":{"name":"meanwhile"}}`)
	if r.code != http.StatusCreated {
		t.Errorf("another client meanwhile: %d %s", r.code, r.body)
	}
}

func TestAWatcherThatNeverReadsIsEndedAndOthersKeepUp(t *testing.T) {
	t.Parallel() // its end is waited for
	const updates, size = 250, 64 << 10
	c := apiservertest.Start(t, bare(), nil)
	stuck := raw(t, c)
	if _, err := io.WriteString(stuck, "GET "+mapsPath+"?watch=true&resourceVersion=0 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	all, err := c.Client.CoreV1().ConfigMaps("default").Watch(c.Context, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer all.Stop()
	before := heap()
	large := configMap("large", strings.Repeat("x", size))
	maps := c.Client.CoreV1().ConfigMaps("default")
	for i := range updates {
		large.Data["n"] = fmt.Sprint(i)
		if i == 0 {
			_, err = maps.Create(c.Context, large, createOptions)
		} else {
			_, err = maps.Update(c.Context, large, metav1.UpdateOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-all.ResultChan():
		case <-time.After(3 * time.Minute):
			t.Fatalf("another watcher has no event %d", i)
		}
	}
	// The cache's own window holds about 100 events.
	more := heap() - before
	t.Logf("%d MB more are in use", more>>20)
	if more > 60<<20 {
		t.Errorf("%d MB more are in use", more>>20)
	}
	if err := stuck.SetReadDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	response, err := http.ReadResponse(bufio.NewReader(stuck), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(&got, response.Body); err != nil {
		t.Errorf("its watch does not end: %v after %d bytes", err, got.Len())
	}
	if n := strings.Count(got.String(), "\n"); n >= updates {
		t.Errorf("it was given all of the %d events", n)
	}
}
