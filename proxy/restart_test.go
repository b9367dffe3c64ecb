package proxy

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/google/nftables"
	corev1 "k8s.io/api/core/v1"

	"dhow/network/networktest"
)

func TestServicesWorkOnWithoutAndOverARestart(t *testing.T) {
	f := start(t)
	backends, client := f.pods(2), f.pod()
	f.create(service(withNodePort), slice(backends...))
	quit := make(chan struct{})
	var wg sync.WaitGroup
	var failures, answers int
	wg.Go(func() {
		for {
			select {
			case <-quit:
				return
			default:
			}
			if _, err := networktest.Ask(client, "tcp", clusterIP+":80"); err != nil {
				failures++
				t.Log(err)
			}
			answers++
		}
	})
	for range 5 {
		f.stop()
		networktest.MustAsk(t, client, "tcp", "192.0.2.10:30080")
		f.startProxy()
	}
	close(quit)
	wg.Wait()
	if failures > 0 || answers == 0 {
		t.Errorf("%d of %d requests failed", failures, answers)
	}
}

func TestRestartTakesOverWhatChangedMeanwhile(t *testing.T) {
	f := start(t)
	old, new, client := f.pod(), f.pod(), f.pod()
	f.create(service(), slice(old))
	f.stop()
	f.api.slices.Modify(slice(new))
	f.startProxy()
	if count := spread(t, client, "tcp", clusterIP+":80", 10); count[new.name] != 10 {
		t.Errorf("got %v, want only %s", count, new.name)
	}
}

func TestAffinityOutlivesARestart(t *testing.T) {
	f := start(t)
	backends, client := f.pods(4), f.pod()
	f.create(service(withAffinity(600)), slice(backends...))
	first := networktest.MustAsk(t, client, "tcp", clusterIP+":80").Server
	for range 3 {
		f.stop()
		f.startProxy()
		if got := networktest.MustAsk(t, client, "tcp", clusterIP+":80").Server; got != first {
			t.Fatalf("client moved from %s to %s", first, got)
		}
	}
}

func TestTableOfAnotherVersionIsReplaced(t *testing.T) {
	f := start(t)
	backend, client := f.pod(), f.pod()
	f.create(service(), slice(backend))
	f.stop()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	other := conn.AddTable(&nftables.Table{Name: "pt-proxy", Family: nftables.TableFamilyIPv4})
	conn.DelTable(other)
	conn.AddTable(other)
	if err := conn.AddSet(&nftables.Set{Table: other, Name: setServices, KeyType: nftables.TypeMark}, nil); err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	f.startProxy()
	networktest.MustAsk(t, client, "tcp", clusterIP+":80")
}

func TestLostTableIsMadeAgain(t *testing.T) {
	f := start(t)
	backend, client := f.pod(), f.pod()
	f.create(service(), slice(backend))
	if err := Reset(Config{TableName: "pt-proxy"}); err != nil {
		t.Fatal(err)
	}
	f.settle() // any change finds out
	networktest.MustAsk(t, client, "tcp", clusterIP+":80")
}

func TestUDPClientMovesFromADeadEndpoint(t *testing.T) {
	f := start(t)
	old, new, client := f.pod(), f.pod(), f.pod()
	f.create(service(withNodePort), slice(old))
	conns := map[string]net.Conn{}
	for _, address := range []string{clusterIP + ":80", "192.0.2.10:30080"} {
		client.Do(func() (err error) {
			conns[address], err = net.Dial("udp", address)
			return err
		})
		defer conns[address].Close()
		if a, err := networktest.On(conns[address], networktest.Patience); err != nil || a.Server != old.name {
			t.Fatalf("%s: got %v, %v", address, a, err)
		}
	}
	f.update(slice(new))
	for address, conn := range conns {
		eventually(t, "the socket to "+address+" reaches the new endpoint", func() bool {
			a, err := networktest.On(conn, networktest.Brief)
			return err == nil && a.Server == new.name
		})
	}
}

func TestUDPClientThatWasRefusedIsServedOnceThereIsAnEndpoint(t *testing.T) {
	f := start(t)
	backend, client := f.pod(), f.pod()
	f.create(service(), slice())
	var conn net.Conn
	client.Do(func() (err error) {
		conn, err = net.Dial("udp", clusterIP+":80")
		return err
	})
	defer conn.Close()
	if a, err := networktest.On(conn, networktest.Brief); err == nil {
		t.Fatalf("got %v without endpoints", a)
	}
	f.update(slice(backend))
	eventually(t, "the same socket reaches the endpoint", func() bool {
		_, err := networktest.On(conn, networktest.Brief)
		return err == nil
	})
}

func TestHealthCheckPortCountsEndpointsOnThisNode(t *testing.T) {
	f := start(t)
	backends := f.pods(2)
	f.create(service(withBalancer, withLocalTraffic, func(s *corev1.Service) { s.Spec.HealthCheckNodePort = 32222 }),
		slice(backends...))
	if code, local := askHealth(t, 32222); code != http.StatusOK || local != 2 {
		t.Errorf("got %d with %d endpoints", code, local)
	}
	f.update(slice())
	if code, local := askHealth(t, 32222); code != http.StatusServiceUnavailable || local != 0 {
		t.Errorf("got %d with %d endpoints", code, local)
	}
	f.api.services.Delete(service())
	f.settle()
	if conn, err := net.Dial("tcp", "127.0.0.1:32222"); !refused(err) {
		t.Errorf("after the Service is gone: %v, %v", conn, err)
	}
}

func askHealth(t *testing.T, port int) (code, local int) {
	t.Helper()
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body struct {
		LocalEndpoints int `json:"localEndpoints"`
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body.LocalEndpoints
}

func TestResetLeavesNoTable(t *testing.T) {
	f := start(t)
	f.create(service(withAffinity(60)), slice(f.pod()))
	f.stop()
	if err := Reset(Config{TableName: "pt-proxy"}); err != nil {
		t.Fatal(err)
	}
	for _, family := range f.proxy.families {
		if f.proxy.tablesThere() {
			t.Errorf("%s table is there", family.table.family.Name)
		}
	}
	if err := Reset(Config{TableName: "pt-proxy"}); err != nil {
		t.Errorf("reset of nothing: %v", err)
	}
}
