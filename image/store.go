package image

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Store is the image store of one directory. Several processes may use it at once: what they share is files
// that appear whole, by rename, and flocks.
//
//	layers/<diff id>/        one unpacked layer
//	images/<image id>.json   an image: its config and its layers
//	tags/<hash of name>.json a name, and the image it points to
//	snapshots/<hash of key>/ a container's writable layer
//	tmp/                     what is being made; emptied by New when nobody is making anything
type Store struct {
	dir  string
	file string // registries.yaml
	log  *slog.Logger

	mu    sync.Mutex
	pulls map[string]*sync.Mutex // one pull of a name at a time
}

var _ Service = (*Store)(nil)

var folders = []string{"layers", "images", "tags", "snapshots", "tmp"}

// New opens the store in Dir, or makes it, and clears away what a crash left half-made.
func New(c Config) (*Store, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	s := &Store{dir: c.Dir, file: c.RegistriesFile, log: c.Log, pulls: map[string]*sync.Mutex{}}
	for _, name := range folders {
		if err := os.MkdirAll(s.path(name), 0o700); err != nil {
			return nil, fmt.Errorf("open image store: %w", err)
		}
	}
	return s, s.tidy()
}

// tidy removes what a crash or a full disk left: things half-made, and layers that no image has. It does nothing
// while anyone is at work, whose things they may be.
func (s *Store) tidy() error {
	unlock, err := s.lock(unix.LOCK_EX | unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	return errors.Join(s.emptyTmp(), s.sweep())
}

// tidyIfFull gives the layers of an image back that did not fit, and returns err.
func (s *Store) tidyIfFull(err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return errors.Join(err, s.tidy())
	}
	return err
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// lock takes the store's own flock: shared by those who make things, exclusive for those who remove them.
func (s *Store) lock(how int) (unlock func(), err error) {
	return flock(s.path("lock"), how)
}

func flock(path string, how int) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock image store: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock image store: %w", err)
	}
	return func() { f.Close() }, nil
}

func (s *Store) emptyTmp() error {
	entries, err := os.ReadDir(s.path("tmp"))
	if err != nil {
		return fmt.Errorf("open image store: %w", err)
	}
	for _, e := range entries {
		s.log.Debug("remove what a crash left", "path", e.Name())
		if err := os.RemoveAll(s.path("tmp", e.Name())); err != nil {
			return fmt.Errorf("open image store: %w", err)
		}
	}
	return nil
}

// sync makes everything written to the store's file system so far durable: one call for a whole pull.
func (s *Store) sync() error {
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", s.dir, err)
	}
	return nil
}

// only lets one goroutine at a time work on a name.
func (s *Store) only(name string) (release func()) {
	s.mu.Lock()
	m := s.pulls[name]
	if m == nil {
		m = &sync.Mutex{}
		s.pulls[name] = m
	}
	s.mu.Unlock()
	m.Lock()
	return m.Unlock
}
