package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dhow/image/layers"
	"dhow/image/leases"
	"dhow/image/records"
	"dhow/internal/filelock"
)

// unfinishedKept is how long what came of an interrupted pull waits for the next one.
const unfinishedKept = 24 * time.Hour

// marks are the digests (bare) that nothing may remove.
type marks struct {
	layers, images map[string]bool
	every          bool // all layers: somebody needs some and does not say which
}

// mark finds what images, snapshots and leases need. The caller has the exclusive lock.
func (s *Store) mark() (marks, error) {
	m := marks{layers: map[string]bool{}, images: map[string]bool{}}
	all, err := s.index.All()
	if err != nil {
		return m, err
	}
	for _, r := range all {
		m.addLayers(r.Layers)
	}
	made, err := s.snapshots()
	if err != nil {
		return m, err
	}
	for _, snap := range made {
		m.addLayers(snap.Layers)
		m.every = m.every || snap.old()
		if len(snap.Layers) == 0 {
			m.addLayers([]string{layers.Empty})
		}
		m.images[records.Bare(snap.Image)] = true
	}
	living, err := s.leases.Living()
	if err != nil {
		return m, err
	}
	for _, dir := range living {
		held, images, err := leases.HeldIn(dir)
		if err != nil {
			return m, err
		}
		m.addLayers(held)
		for _, id := range images {
			m.images[records.Bare(id)] = true
		}
	}
	return m, nil
}

func (m marks) addLayers(ids []string) {
	for _, id := range ids {
		m.layers[records.Bare(id)] = true
	}
}

// sweep removes the layers that nothing has marked, what dead leases left in tmp, and downloads that nobody will go
// on with. It tells the digests and bytes of the layers. What it removes is moved away under the exclusive lock, and deleted after it.
func (s *Store) sweep() (gone []Layer, err error) {
	unlock, err := s.lock(filelock.Exclusive)
	if err != nil {
		return nil, err
	}
	rubbish, gone, err := s.collect(time.Now())
	unlock()
	for _, path := range rubbish {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return gone, err
}

func (s *Store) collect(now time.Time) (rubbish []string, gone []Layer, err error) {
	if err := s.expireUnfinished(now); err != nil {
		return nil, nil, err
	}
	keep, err := s.mark()
	if err != nil {
		return nil, nil, err
	}
	entries, err := os.ReadDir(s.path("layers"))
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if keep.every || keep.layers[e.Name()] {
			continue
		}
		layer := Layer{DiffID: "sha256:" + e.Name()}
		if m, err := layers.Read(s.path("layers", e.Name())); err == nil {
			layer.Size = m.Size
		}
		if _, err := s.trash(s.path("layers", e.Name())); err != nil {
			return rubbish, gone, err
		}
		gone = append(gone, layer)
	}
	if err := s.dropLocks(); err != nil {
		return nil, gone, err
	}
	rubbish, err = s.rubbish()
	return rubbish, gone, err
}

// dropLocks removes lock files that nobody holds.
func (s *Store) dropLocks() error {
	entries, err := os.ReadDir(s.path("locks"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		unlock, err := filelock.Lock(s.path("locks", e.Name()), filelock.Try)
		if err != nil {
			continue // somebody has it
		}
		err = ignoreMissing(os.Remove(s.path("locks", e.Name())))
		unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// rubbish lists what is in tmp and belongs to no living lease.
func (s *Store) rubbish() ([]string, error) {
	entries, err := os.ReadDir(s.path("tmp"))
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		if _, err := os.Stat(s.path("leases", e.Name())); err == nil {
			continue
		}
		all = append(all, s.path("tmp", e.Name()))
	}
	return all, nil
}

// unfinishedPrefix begins the names of leases that keep the layers of interrupted pulls.
const unfinishedPrefix = "unfinished pull of "

// expireUnfinished forgets interrupted pulls that nobody took up again. The caller has the exclusive lock.
func (s *Store) expireUnfinished(now time.Time) error {
	ids, err := records.Names(s.path("leases"), "", "")
	if err != nil {
		return err
	}
	for _, id := range ids {
		path := s.path("leases", id, leases.NameFile)
		text, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(text), unfinishedPrefix) {
			continue
		}
		if info, err := os.Stat(path); err == nil && now.Sub(info.ModTime()) > unfinishedKept {
			if err := os.RemoveAll(filepath.Dir(path)); err != nil {
				return err
			}
		}
	}
	return s.eachDownload(func(path string, age time.Duration) error {
		if age < unfinishedKept {
			return nil
		}
		return ignoreMissing(os.Remove(path))
	}, now)
}

func (s *Store) eachDownload(do func(path string, age time.Duration) error, now time.Time) error {
	entries, err := os.ReadDir(s.path("downloads"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		if err := do(s.path("downloads", e.Name()), now.Sub(info.ModTime())); err != nil {
			return err
		}
	}
	return nil
}

// forgetUnfinished gives up what interrupted pulls have left, and sweeps: a download that goes on is none.
func (s *Store) forgetUnfinished() ([]Layer, error) {
	unlock, err := s.lock(filelock.Exclusive)
	if err != nil {
		return nil, err
	}
	err = s.expireUnfinishedNow()
	unlock()
	if err != nil {
		return nil, err
	}
	return s.sweep()
}

func (s *Store) expireUnfinishedNow() error {
	return s.eachDownload(func(path string, _ time.Duration) error {
		free, err := filelock.Lock(s.path("locks", "blob-"+filepath.Base(path)), filelock.Try)
		if err != nil {
			return nil // somebody is downloading it
		}
		defer free()
		return ignoreMissing(os.Remove(path))
	}, time.Now().Add(2*unfinishedKept))
}

// explainFull tells what to do about a full disk.
func (s *Store) explainFull(err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("no space left on device for images: free some, or remove images: %w", err)
	}
	return err
}

// tidyIfFull gives the layers of an image back that did not fit, and returns err.
func (s *Store) tidyIfFull(err error) error {
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	_, tidied := s.sweep()
	return errors.Join(err, tidied)
}
