// Package store is the cluster's memory: etcd inside the process, without sockets, and the storage that the API
// server's registries use on it, whose decoded objects in-process informers share. It knows no kinds.
package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	etcdfeatures "go.etcd.io/etcd/server/v3/features"
	"go.uber.org/zap"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/etcd3"
	"k8s.io/apiserver/pkg/storage/feature"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/utils/clock"
)

// Config of a Store.
type Config struct {
	// Dir holds etcd's data (/var/lib/dhow/etcd), mode 0700.
	Dir string
	// CompactEvery is how often old revisions are dropped, five minutes if zero: watchers and pages of lists that are
	// older must begin again.
	CompactEvery time.Duration
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// Store is an etcd of one member, open for use.
type Store struct {
	log       *slog.Logger
	lock      *os.File
	fatal     *fatal
	server    *etcdserver.EtcdServer
	client    *kubernetes.Client
	compactor compactor

	refused *refused

	mu       sync.Mutex
	shared   map[reflect.Type]*shared
	caches   []storage.Interface
	prefixes map[string]value.Transformer // of resources' keys
}

// compactor drops old revisions and knows up to which one it has.
type compactor interface {
	etcd3.Compactor
	Stop()
}

// compactEvery is the zero CompactEvery.
const compactEvery = 5 * time.Minute

// New opens the data in Dir, or makes it, and starts the member on it. Wait for Ready before registries are made:
// a watch cache that asks too early asks again only after a second. ErrLocked while another process has it; an error that names both versions
// when another version of dhow wrote it.
func New(c Config) (*Store, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := checkVersion(c.Dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(c.Dir)
	if err != nil {
		return nil, err
	}
	fatal := newFatal(c.Log, c.Dir)
	server, err := openServer(c.Dir, fatal)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	server.Start()
	client := v3client.New(server)
	turnedDown := &refused{}
	client.KV = guarded{client.KV, c.Dir, turnedDown}
	s := &Store{
		log: c.Log, lock: lock, fatal: fatal, server: server,
		client:    &kubernetes.Client{Client: client},
		compactor: etcd3.NewCompactor(client, cmp.Or(c.CompactEvery, compactEvery), clock.RealClock{}, nil),
		refused:   turnedDown,
		shared:    map[reflect.Type]*shared{},
		prefixes:  map[string]value.Transformer{},
	}
	s.client.Kubernetes = s.client
	return s, nil
}

// openServer opens what dir holds. The caller has locked it.
func openServer(dir string, fatal *fatal) (*etcdserver.EtcdServer, error) {
	data := filepath.Join(dir, "member-data")
	if err := roomForNew(dir, data); err != nil {
		return nil, err
	}
	if err := markVersion(dir); err != nil {
		return nil, err
	}
	return fatal.newServer(serverConfig(data, fatal.logger()))
}

// serverConfig is a single member that elects itself within 100 ms and listens nowhere. No other member has to catch up
// from its log, so that little of the log is kept in memory.
func serverConfig(dir string, log *zap.Logger) config.ServerConfig {
	urls := types.MustNewURLs([]string{"http://127.0.0.1:1"}) // wanted by the library, never opened
	return config.ServerConfig{
		Name: "dhow", DataDir: dir, ClientURLs: urls, PeerURLs: urls,
		InitialPeerURLsMap: types.URLsMap{"dhow": urls}, InitialClusterToken: "dhow", NewCluster: true,
		TickMs: 10, ElectionTicks: 10, InitialElectionTickAdvance: true, PreVote: true,
		SnapshotCount: 1000, SnapshotCatchUpEntries: 10, MaxSnapFiles: 5, MaxWALFiles: 5,
		MaxTxnOps: 4096, MaxRequestBytes: 3 << 20, QuotaBackendBytes: 8 << 30,
		AuthToken: "simple", BcryptCost: 4, TokenTTL: 300,
		WarningApplyDuration: 100 * time.Millisecond, WarningUnaryRequestDuration: 300 * time.Millisecond,
		WatchProgressNotifyInterval: 10 * time.Minute, DowngradeCheckTime: time.Hour,
		AutoCompactionMode: "periodic", CompactHashCheckTime: time.Minute,
		Logger: log, ServerFeatureGate: etcdfeatures.NewDefaultServerFeatureGate("dhow", log),
		V2Deprecation: config.V2DeprDefault, Metrics: "basic", BackendFreelistType: bolt.FreelistMapType,
	}
}

// Ready blocks until the member leads and serves.
func (s *Store) Ready(ctx context.Context) error {
	select {
	case <-s.server.ReadyNotify():
	case <-s.server.StopNotify():
		return errors.New("etcd stopped while it started")
	case <-s.fatal.done:
		return s.fatal.err
	case <-ctx.Done():
		return ctx.Err()
	}
	// A client without endpoints cannot be asked for its features, so the check gets one that names some.
	feature.DefaultFeatureSupportChecker.CheckClient(ctx, named{s.client.Client}, storage.RequestWatchProgress)
	return nil
}

type named struct{ *clientv3.Client }

func (named) Endpoints() []string { return []string{"in-process"} }

// Run blocks until ctx ends, then closes the store; nothing may use it any more.
func (s *Store) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		s.Close()
		return nil
	case <-s.fatal.done:
		s.Close()
		return s.fatal.err
	case <-s.server.StopNotify():
		s.Close()
		return errors.New("etcd stopped by itself")
	}
}

// Close ends the member and gives the directory free. A member that cannot go on cannot end either: only the end
// of the process gives its files free.
func (s *Store) Close() {
	s.checkShared()
	if s.fatal.failed() == nil {
		s.compactor.Stop()
		s.server.Stop()
	}
	if err := s.lock.Close(); err != nil {
		s.log.Debug("close lock", "err", err)
	}
}

// checkShared looks at all that was shared, in builds that find out who wrote to it.
func (s *Store) checkShared() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shared {
		sh.mu.Lock()
		sh.checkAll()
		sh.mu.Unlock()
	}
}
