package image

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dhow/image/layers"
	"dhow/image/records"
	"dhow/internal/filelock"
)

// Layers are published without waiting for the disk: a mark in each says since which boot of the machine it may be
// only in memory. A minute later the mark is taken away, once the disk has it; and a layer that bears a mark of
// another boot went through a loss of power, so it is read back before it is trusted.

const (
	unsyncedFile = "unsynced"
	// settleAfter is when the kernel has written most by itself, so that asking it costs little.
	settleAfter = time.Minute
	bootID      = "/proc/sys/kernel/random/boot_id"
)

func (s *Store) markUnsynced(layer string) error {
	boot, err := os.ReadFile(bootID)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(layer, unsyncedFile), boot, 0o600)
}

// repair removes what a crash left: things half-made, records that cannot be read, images whose layers are spoilt or
// gone. It does nothing that others at work would miss.
func (s *Store) repair() error {
	unlock, err := s.lock(filelock.Try)
	if errors.Is(err, filelock.ErrHeld) {
		return nil // somebody publishes or removes; they have repaired it when they came
	}
	if err != nil {
		return err
	}
	spoilt, err := s.settle()
	if err == nil {
		err = s.dropBroken(spoilt)
	}
	unlock()
	if err != nil {
		return err
	}
	_, err = s.sweep()
	return err
}

// settle looks at the marks. It returns the layers that a loss of power spoilt.
func (s *Store) settle() (spoilt map[string]bool, err error) {
	boot, err := os.ReadFile(bootID)
	if err != nil {
		return nil, err
	}
	ids, err := records.Names(s.path("layers"), "", "")
	if err != nil {
		return nil, err
	}
	spoilt = map[string]bool{}
	var old []string
	for _, id := range ids {
		path := s.path("layers", id, unsyncedFile)
		since, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err == nil && bytes.Equal(since, boot):
			if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > settleAfter {
				old = append(old, path)
			}
		default:
			err := layers.Verify(s.path("layers", id), "sha256:"+id)
			if records.OfTheMoment(err) {
				return spoilt, err
			}
			if err != nil {
				s.log.Warn("layer was spoilt by a loss of power", "layer", id, "err", err)
				spoilt[id] = true
				continue
			}
			old = append(old, path)
		}
	}
	return spoilt, s.unmark(old)
}

// unmark takes marks away when the disk has everything.
func (s *Store) unmark(paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", s.dir, err)
	}
	for _, path := range paths {
		if err := ignoreMissing(os.Remove(path)); err != nil {
			return err
		}
	}
	return nil
}

// dropBroken removes images that lack a layer, records that are none, and tags of no image.
func (s *Store) dropBroken(spoilt map[string]bool) error {
	for id := range spoilt {
		if _, err := s.trash(s.path("layers", id)); err != nil {
			return err
		}
	}
	images := map[string]bool{}
	err := s.checkFiles("images", func(path string) error {
		r, err := records.Read[records.Image](path)
		if err == nil && (digestOf(r.Raw) != r.ID || records.Bare(r.ID)+".json" != filepath.Base(path)) {
			err = errors.New("its configuration has another digest")
		}
		if err == nil {
			err = s.complete(r)
		}
		images[r.ID] = err == nil
		return err
	})
	if err != nil {
		return err
	}
	return s.checkFiles("tags", func(path string) error {
		t, err := records.Read[records.Tag](path)
		if err == nil && !images[t.Image] {
			err = fmt.Errorf("%s: its image %s is gone", t.Ref, t.Image)
		}
		return err
	})
}

// checkFiles removes the files of a folder that are not good. What cannot be read just now is not judged.
func (s *Store) checkFiles(folder string, good func(path string) error) error {
	entries, err := os.ReadDir(s.path(folder))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := s.path(folder, e.Name())
		err := good(path)
		if records.OfTheMoment(err) {
			return err
		}
		if err != nil {
			s.log.Warn("remove a broken record of an image: pull it again", "file", path, "err", err)
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// complete says whether every layer of an image is there.
func (s *Store) complete(r records.Image) error {
	for _, id := range r.Layers {
		if !isDigest(id) {
			return fmt.Errorf("layer %q is no digest", id)
		}
		if m, err := layers.Read(s.layer(id)); err != nil || m.DiffID != id {
			return fmt.Errorf("layer %s is gone or damaged: %w", id, err)
		}
	}
	return nil
}

func isDigest(text string) bool {
	encoded, ok := strings.CutPrefix(text, "sha256:")
	raw, err := hex.DecodeString(encoded)
	return ok && err == nil && len(raw) == 32 && strings.ToLower(encoded) == encoded
}

// Damage is a layer that is not as it was stored.
type Damage struct {
	Layer  string
	Images []string // ids that have it
	Err    error
}

// Verify reads every layer back and compares it with its digest.
func (s *Store) Verify(ctx context.Context) ([]Damage, error) {
	lease, err := s.Lease(ctx, "")
	if err != nil {
		return nil, err
	}
	defer lease.End()
	known, err := s.index.All()
	if err != nil {
		return nil, err
	}
	users := map[string][]string{}
	for _, r := range known {
		if err := lease.Hold(r.Layers...); err != nil {
			return nil, err
		}
		for _, id := range r.Layers {
			users[id] = append(users[id], r.ID)
		}
	}
	var found []Damage
	for id, images := range users {
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		if err := layers.Verify(s.layer(id), id); err != nil {
			found = append(found, Damage{id, images, err})
		}
	}
	return found, nil
}
