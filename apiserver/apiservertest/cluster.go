// Package apiservertest gives any test a real API server of its own, in-process, in well under a second.
package apiservertest

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"dhow/apiserver"
	"dhow/identity"
	"dhow/store"
)

// Cluster is a running API server; it ends with the test.
type Cluster struct {
	Server *apiserver.Server
	// Client is an administrator's, in-process.
	Client kubernetes.Interface
	// Config is the administrator's over HTTPS.
	Config *restclient.Config
	// Informers share the store's objects; Start them before use.
	Informers informers.SharedInformerFactory
	Identity  *identity.Identity
	// Context ends with the test.
	Context context.Context
}

// quiet keeps the libraries' own log out of tests' output.
var quiet sync.Once

// Start serves kinds on an empty store. edit may change the configuration; it may be nil.
func Start(t testing.TB, kinds []apiserver.Kind, edit func(*apiserver.Config)) *Cluster {
	t.Helper()
	quiet.Do(func() { klog.SetLogger(logr.Discard()) })
	dir := t.TempDir()
	id, err := identity.Open(filepath.Join(dir, "pki"))
	check(t, err)
	db, err := store.New(store.Config{Dir: filepath.Join(dir, "etcd")})
	check(t, err)
	wait, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	check(t, db.Ready(wait))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	address := netip.MustParseAddrPort(listener.Addr().String())
	config := apiserver.Config{
		Kinds: kinds, Store: db, Identity: id, Listener: listener,
		ServingNames: []string{"127.0.0.1", "localhost"}, Advertise: address,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if edit != nil {
		edit(&config)
	}
	if at, err := netip.ParseAddrPort(config.Listener.Addr().String()); err == nil {
		config.ServingNames = append(config.ServingNames, at.Addr().String())
	}
	ctx, stop := context.WithCancel(context.Background())
	server, err := apiserver.New(config)
	if err != nil {
		stop()
		db.Close()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("api server: %v", err)
		}
		db.Close()
	})
	check(t, server.Ready(wait))
	return newCluster(t, ctx, server, id, address)
}

func newCluster(t testing.TB, ctx context.Context, server *apiserver.Server, id *identity.Identity, address netip.AddrPort) *Cluster {
	t.Helper()
	client, err := server.Client("system:admin", "system:masters")
	check(t, err)
	cert, key, err := id.Client("system:admin", "system:masters")
	check(t, err)
	return &Cluster{
		Server: server, Client: client, Informers: server.Informers(), Identity: id, Context: ctx,
		Config: &restclient.Config{
			Host: "https://" + address.String(), QPS: -1,
			TLSClientConfig: restclient.TLSClientConfig{CAData: id.CA.PEM, CertData: cert, KeyData: key},
		},
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// patience is how long tests wait for what must come: a busy machine is slow, and those who have failed a few times in a row
// (reflectors, queues) rest for up to a minute.
const patience = 3 * time.Minute

// Eventually polls until done, and fails when patience is at its end.
func Eventually(t testing.TB, done func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still not so after %s", patience)
		}
	}
}
