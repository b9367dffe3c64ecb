package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"dhow/image/layers"
	"dhow/image/leases"
	"dhow/image/records"
	"dhow/internal/filelock"
)

// Store is the image store of one directory. Several processes may use it at once: what they share is files
// that appear whole, by rename, and flocks.
//
//	layers/<diff id>/        one unpacked layer (package layers), blobs.json, unsynced
//	images/<image id>.json   an image: its config and its layers
//	tags/<hash of name>.json a name, and the image it points to
//	snapshots/<hash of key>/ a container's writable layer
//	leases/<id>/             what somebody at work, or a cache, keeps from being swept
//	downloads/<digest>       blobs that came in part; the next pull goes on with them
//	locks/<name>             one download of a blob, one unpacking of a layer at a time
//	tmp/                     what is being made, in a folder of its lease's id
//
// The store's own lock is taken, shared, for the moment in which something is published, and exclusively by who
// removes: nobody waits for a download.
type Store struct {
	dir    string
	file   string // registries.yaml
	log    *slog.Logger
	limits layers.Limits
	leases leases.Dir
	index  records.Dir
	fail   func(point string) error // tests': an error at a named step, or nil

	mu    sync.Mutex
	pulls map[string]*turns // one pull of a name at a time
}

var (
	_ Service = (*Store)(nil)
	_ Maker   = (*Store)(nil)
)

var folders = []string{"layers", "images", "tags", "snapshots", "leases", "downloads", "locks", "tmp"}

// New opens the store in Dir, or makes it, clears away what a crash left half-made, and what it has spoilt.
func New(c Config) (*Store, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	s := &Store{dir: c.Dir, file: c.RegistriesFile, log: c.Log, pulls: map[string]*turns{}, fail: func(string) error { return nil }}
	s.leases = leases.Dir{Path: s.path("leases"), Work: s.path("tmp"), Publishing: s.publishing, Log: c.Log}
	s.index = records.Dir{Images: s.path("images"), Tags: s.path("tags"), Tmp: s.path("tmp")}
	for _, name := range folders {
		if err := os.MkdirAll(s.path(name), 0o700); err != nil {
			return nil, fmt.Errorf("open image store: %w", err)
		}
	}
	if err := s.repair(); err != nil {
		return nil, fmt.Errorf("open image store: %w", err)
	}
	return s, nil
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// lock takes the store's own flock: shared by those who publish, exclusive for those who remove.
func (s *Store) lock(how filelock.How) (unlock func(), err error) {
	return filelock.Lock(s.path("lock"), how)
}

// Lease implements Maker.
func (s *Store) Lease(_ context.Context, name string) (*Lease, error) { return s.leases.Take(name) }

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// publishing does something under the shared lock.
func (s *Store) publishing(do func() error) error {
	unlock, err := s.lock(filelock.Shared)
	if err != nil {
		return err
	}
	defer unlock()
	return do()
}

// turns are taken by those who work on one name.
type turns struct {
	taken chan struct{} // holds one while somebody works
	users int           // who works or waits
}

// only lets one goroutine at a time work on a name.
func (s *Store) only(ctx context.Context, name string) (release func(), err error) {
	s.mu.Lock()
	t := s.pulls[name]
	if t == nil {
		t = &turns{taken: make(chan struct{}, 1)}
		s.pulls[name] = t
	}
	t.users++
	s.mu.Unlock()
	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(s.pulls, name)
		}
	}
	select {
	case t.taken <- struct{}{}:
		return func() { <-t.taken; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}
