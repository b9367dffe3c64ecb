package resilience

import (
	"net/http"
	"runtime"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"

	"dhow/apiserver/apiservertest"
)

// heap is what live objects and stacks take.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what had finalizers
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// await waits until so many clients have been answered.
func (c *clients) await(t *testing.T, count int, limit time.Duration) {
	t.Helper()
	deadline := time.After(limit)
	for {
		select {
		case n := <-c.ready:
			if n >= count {
				return
			}
		case <-deadline:
			t.Fatalf("after %s not yet %d clients were answered", limit, count)
		}
	}
}

func TestTenThousandConnectionsHoldUpNobody(t *testing.T) {
	const count = 10_000
	c := apiservertest.Start(t, bare(), nil)
	create(t, c, "before")
	before, begin := heap(), time.Now()
	all := startClients(t, c, work{Count: count})
	all.await(t, count, 10*time.Minute)
	took, each := time.Since(begin), (heap()-before)/count
	t.Logf("%d connections in %s, %d KB each", count, took.Round(time.Millisecond), each>>10)
	if each > 100<<10 {
		t.Errorf("each takes %d KB", each>>10)
	}
	begin = time.Now()
	if r := do(t, httpClient(t, c.Config), http.MethodPost, c.Config.Host+mapsPath, "application/json", `{"metadata":{"name":"meanwhile"}}`); r.code != http.StatusCreated {
		t.Errorf("another client meanwhile: %d %s", r.code, r.body)
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("another client meanwhile was answered after %s", took)
	}
}

func TestIdleWatchersTakeLittleMemory(t *testing.T) {
	const count = 1000
	c := apiservertest.Start(t, bare(), nil)
	create(t, c, "before")
	before := heap()
	all := startClients(t, c, work{Count: count, Watch: true, PerSocket: 50})
	all.await(t, count, 5*time.Minute)
	each := (heap() - before) / count
	t.Logf("each of %d watchers takes %d KB", count, each>>10)
	if each > 150<<10 {
		t.Errorf("each takes %d KB", each>>10)
	}
}

// withFewFiles starts a server whose process may open so many files, and lets the rest of the test have all again.
func withFewFiles(t *testing.T, most uint64) *apiservertest.Cluster {
	t.Helper()
	var all syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &all); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: most, Max: all.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &all); err != nil {
			t.Error(err)
		}
	})
	return apiservertest.Start(t, bare(), nil)
}

// patientClient has no timeout of its own, not even for the handshake.
func patientClient(t *testing.T, config *restclient.Config) *http.Client {
	t.Helper()
	secure, err := restclient.TLSConfigFor(config)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: secure}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestConnectionsLeaveFilesForTheStoreAndOthersWaitTheirTurn(t *testing.T) {
	c := withFewFiles(t, 400)
	early := kubernetes.NewForConfigOrDie(c.Config)
	if _, err := early.Discovery().ServerVersion(); err != nil {
		t.Fatal(err)
	}
	all := startClients(t, c, work{Count: 500})
	all.await(t, 299, 5*time.Minute) // three quarters of 400, with the early one
	for name, client := range map[string]kubernetes.Interface{"early": early, "inside": c.Client} {
		if _, err := client.CoreV1().ConfigMaps("default").Create(c.Context, configMap(name, "1"), createOptions); err != nil {
			t.Errorf("%s while connections have run out: %v", name, err)
		}
	}
	late := make(chan error, 1)
	another := patientClient(t, c.Config) // on a connection of its own
	go func() {
		response, err := another.Get(c.Config.Host + "/version")
		if err == nil {
			response.Body.Close()
		}
		late <- err
	}()
	select {
	case err := <-late:
		t.Fatalf("one more was answered at once: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	all.end()
	if err := <-late; err != nil {
		t.Errorf("once others have ended: %v", err)
	}
}
