package build

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dhow/image"
	"dhow/image/build/rooted"
	"dhow/image/records"
	"dhow/internal/filelock"
	"dhow/internal/rootfs"
)

// Folders in Dir.
const (
	cacheDir    = "cache"
	mountsDir   = "mounts"
	sessionsDir = "sessions"
)

// session is all that a build has on the machine while it works. It is written down before it is made, so that the
// next build can clear away what a killed one has left:
//
//	Dir/sessions/<id>/lock          held while the build lives
//	Dir/sessions/<id>/snapshot-<n>  a snapshot "build-<id>-<n>" of the store
//	Dir/sessions/<id>/work/         contexts, mount points, copies
//	RunDir/<id>/runner              the runner's state
//	RunDir/<id>/mount-<n>           a mount
//	RunDir/<id>/secret-<n>          a secret
type session struct {
	builder  *Builder
	id       string
	dir, run string
	unlock   func()
	lease    *image.Lease
	next     atomic.Int64

	mu     sync.Mutex
	runner Runner // opened by the first RUN
}

// open begins a session, and ends those whose processes were killed.
func (b *Builder) open(ctx context.Context) (*session, error) {
	if err := b.clear(ctx); err != nil {
		return nil, fmt.Errorf("clear away what a killed build left: %w", err)
	}
	s, err := b.enter()
	if err != nil {
		return nil, err
	}
	if s.lease, err = b.config.Images.Lease(ctx, ""); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// enter makes a session's places.
func (b *Builder) enter() (*session, error) {
	s := &session{builder: b, id: rand.Text()[:16]}
	s.dir, s.run = filepath.Join(b.config.Dir, sessionsDir, s.id), filepath.Join(b.config.RunDir, s.id)
	all, err := filelock.Lock(filepath.Join(b.config.Dir, "lock"), filelock.Exclusive)
	if err != nil {
		return nil, err
	}
	defer all()
	if err := errors.Join(os.MkdirAll(filepath.Join(s.dir, "work"), 0o700), os.MkdirAll(s.run, 0o700)); err != nil {
		return nil, err
	}
	s.unlock, err = filelock.Lock(filepath.Join(s.dir, "lock"), filelock.Exclusive)
	return s, err
}

// Folder makes a folder for a context that is fetched. It goes with release; if this process is killed, with the next
// build.
func (b *Builder) Folder() (dir string, release func() error, err error) {
	s, err := b.enter()
	if err != nil {
		return "", nil, err
	}
	dir, err = s.folder("context")
	return dir, s.close, err
}

// clear ends the sessions whose processes are gone.
func (b *Builder) clear(ctx context.Context) error {
	all, err := filelock.Lock(filepath.Join(b.config.Dir, "lock"), filelock.Exclusive)
	if err != nil {
		return err
	}
	defer all()
	entries, err := os.ReadDir(filepath.Join(b.config.Dir, sessionsDir))
	if err != nil {
		return err
	}
	var failed error
	for _, e := range entries {
		s := &session{builder: b, id: e.Name(), dir: filepath.Join(b.config.Dir, sessionsDir, e.Name()), run: filepath.Join(b.config.RunDir, e.Name())}
		s.unlock, err = filelock.Lock(filepath.Join(s.dir, "lock"), filelock.Try)
		if errors.Is(err, filelock.ErrHeld) {
			continue
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if _, err := os.Stat(s.runnerDir()); err == nil {
			if _, err := s.openRunner(); err != nil {
				failed = errors.Join(failed, err)
			}
		}
		failed = errors.Join(failed, s.close(), b.dropUnrecorded(ctx))
	}
	return failed
}

func (s *session) runnerDir() string { return filepath.Join(s.run, "runner") }

func (s *session) openRunner() (Runner, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runner != nil {
		return s.runner, nil
	}
	if err := os.MkdirAll(s.runnerDir(), 0o700); err != nil {
		return nil, err
	}
	r, err := s.builder.config.NewRunner(s.runnerDir())
	s.runner = r
	return r, err
}

// close removes all that the session has.
func (s *session) close() error {
	var failed error
	if s.runner != nil {
		failed = s.runner.Close()
	}
	mounts, err := records.Names(s.run, "mount-", "")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a reboot takes it away
		failed = errors.Join(failed, err)
	}
	for _, name := range mounts {
		failed = errors.Join(failed, rooted.Detach(filepath.Join(s.run, name)))
	}
	marks, err := records.Names(s.dir, "snapshot-", "")
	failed = errors.Join(failed, err)
	for _, mark := range marks {
		key := "build-" + s.id + "-" + mark
		failed = errors.Join(failed, s.builder.config.Images.RemoveSnapshot(context.Background(), key))
	}
	if s.lease != nil {
		failed = errors.Join(failed, s.lease.Release())
	}
	if failed == nil { // what is written down is cleared away later
		failed = errors.Join(os.RemoveAll(s.run), os.RemoveAll(s.dir))
	}
	if s.unlock != nil {
		s.unlock()
	}
	return failed
}

// snapshot makes a writable root over layers.
func (s *session) snapshot(ctx context.Context, layers []string, config ocispec.ImageConfig) (key string, snap *rootfs.Snapshot, err error) {
	mark := "snapshot-" + strconv.FormatInt(s.next.Add(1), 10)
	if err := os.WriteFile(filepath.Join(s.dir, mark), nil, 0o600); err != nil {
		return "", nil, err
	}
	key = "build-" + s.id + "-" + mark
	snap, err = s.builder.config.Images.SnapshotOf(ctx, key, layers, config)
	return key, snap, err
}

// discard removes a snapshot before the session ends.
func (s *session) discard(key string) {
	if err := s.builder.config.Images.RemoveSnapshot(context.Background(), key); err != nil {
		s.builder.log.Debug("snapshot goes with its build", "err", err) // close removes it
		return
	}
	_ = os.Remove(filepath.Join(s.dir, key[len("build-"+s.id+"-"):])) // close tries again
}

// folder makes a folder for something in the making.
func (s *session) folder(kind string) (string, error) {
	dir := filepath.Join(s.dir, "work", kind+"-"+strconv.FormatInt(s.next.Add(1), 10))
	return dir, os.Mkdir(dir, 0o755)
}

// private names a file or folder that does not survive a reboot.
func (s *session) private(kind string) string {
	return filepath.Join(s.run, kind+"-"+strconv.FormatInt(s.next.Add(1), 10))
}
