package image

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"dhow/image/layers/layerstest"
)

var errInjected = errors.New("injected")

// points are the steps at which operations can be made to fail.
var points = []string{"lease taken", "layer unpacked", "layer marked", "image recorded", "image untagged", "snapshot made"}

// operations do one thing each to a store that holds host/old:1, with a snapshot "c" of it.
func operations(host string) map[string]func(ctx context.Context, s *Store) error {
	return map[string]func(context.Context, *Store) error{
		"pull": func(ctx context.Context, s *Store) error {
			_, err := s.PullImage(ctx, host+"/new:1", nil, nil)
			return err
		},
		"commit": func(ctx context.Context, s *Store) error {
			_, err := s.Commit(ctx, "c", Commit{Names: []string{host + "/new:1"}})
			return err
		},
		"import": func(ctx context.Context, s *Store) error {
			_, err := s.Import(ctx, bytes.NewReader(importable()), ImportOptions{Name: host + "/new:1"})
			return err
		},
		"snapshot": func(ctx context.Context, s *Store) error {
			_, err := s.Snapshot(ctx, "d", host+"/old:1")
			return err
		},
		"remove": func(ctx context.Context, s *Store) error {
			if err := s.RemoveSnapshot(ctx, "c"); err != nil {
				return err
			}
			_, err := s.Remove(ctx, host+"/old:1", RemoveOptions{})
			return err
		},
	}
}

func importable() []byte { return layerstest.Archive(nopTB{}, layerstest.Regular("imported")) }

// nopTB serves a helper where no test is at hand; making this archive cannot fail.
type nopTB struct{ testing.TB }

func (nopTB) Helper() {}

// prepared is a store in dir for operations.
func prepared(t *testing.T, dir, host string) *Store {
	t.Helper()
	s, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	pulled(t, s, host+"/old:1")
	snap, err := s.Snapshot(t.Context(), "c", host+"/old:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(snap.Upper, "changed"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

// sound fails unless every image of the store is whole and nothing else is there.
func sound(t *testing.T, what string, s *Store, host string) {
	t.Helper()
	if left := leftovers(t, s); len(left) > 0 {
		t.Errorf("%s: left behind %v", what, left)
	}
	if damaged, err := s.Verify(t.Context()); err != nil || len(damaged) > 0 {
		t.Errorf("%s: damaged %v, %v", what, damaged, err)
	}
	images, err := s.List(t.Context())
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	for _, d := range images {
		if d.Dangling() && len(d.Layers) == layerCount {
			t.Errorf("%s: a pulled image is left without a name", what)
		}
		snap, err := s.Snapshot(t.Context(), "check", d.ID)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, dir := range snap.Lower {
			if _, err := os.Stat(dir); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := s.RemoveSnapshot(t.Context(), "check"); err != nil {
			t.Error(err)
		}
	}
}

func TestAnErrorAtAnyStepOfAnyOperationLeavesTheStoreSoundAndTheNextAttemptSucceeds(t *testing.T) {
	host := serve(t, nil)
	push(t, layered(t, "old"), host+"/old:1")
	push(t, layered(t, "new"), host+"/new:1")
	hits := 0
	for name, operation := range operations(host) {
		for _, point := range points {
			dir := t.TempDir()
			s := prepared(t, dir, host)
			s.fail = func(at string) error {
				if at == point {
					return errInjected
				}
				return nil
			}
			err := operation(t.Context(), s)
			if err != nil && !errors.Is(err, errInjected) {
				t.Errorf("%s, %s: %v", name, point, err)
			}
			if err != nil {
				hits++
			}
			again, err := New(Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			dropUnnamed(t, again)
			sound(t, name+", "+point, again, host)
			if err := operation(t.Context(), again); err != nil && !errors.Is(err, ErrNotFound) {
				t.Errorf("%s again after %s: %v", name, point, err)
			}
		}
	}
	if hits < 8 {
		t.Errorf("only %d errors came to pass: the test proves little", hits)
	}
}

// dropUnnamed removes images that were recorded and not named: they are whole, and prune's.
func dropUnnamed(t *testing.T, s *Store) {
	t.Helper()
	if _, err := s.Prune(t.Context(), PruneOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestWhatACrashSpoiltIsRemovedByTheNextStart(t *testing.T) {
	host := serve(t, nil)
	push(t, layered(t, "old"), host+"/old:1")
	for what, spoil := range map[string]func(s *Store) error{
		"an empty record": func(s *Store) error { return eachFile(s.path("images"), truncate) },
		"an empty tag":    func(s *Store) error { return eachFile(s.path("tags"), truncate) },
		"a layer without metadata": func(s *Store) error {
			return eachFile(s.path("layers"), func(path string) error { return os.Remove(filepath.Join(path, "layer.json")) })
		},
		"a layer that is gone": func(s *Store) error { return eachFile(s.path("layers"), os.RemoveAll) },
		"a lost write and power": func(s *Store) error {
			return eachFile(s.path("layers"), func(path string) error {
				mark := os.WriteFile(filepath.Join(path, unsyncedFile), []byte("another boot"), 0o600)
				return errors.Join(mark, os.Truncate(filepath.Join(path, "archive.zst"), 0))
			})
		},
	} {
		dir := t.TempDir()
		s, err := New(Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		pulled(t, s, host+"/old:1")
		if err := spoil(s); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		again, err := New(Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		dropUnnamed(t, again)
		if images, err := again.List(t.Context()); err != nil || len(images) > 0 {
			t.Errorf("%s: listed %d images, %v", what, len(images), err)
		}
		if left := leftovers(t, again); len(left) > 0 {
			t.Errorf("%s: left behind %v", what, left)
		}
		pulled(t, again, host+"/old:1")
		whole(t, again, host+"/old:1", "old")
	}
}

func truncate(path string) error { return os.Truncate(path, 0) }

func eachFile(dir string, do func(path string) error) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, do(filepath.Join(dir, e.Name())))
	}
	return err
}

func TestLayersThatALossOfPowerDidNotSpoilAreKept(t *testing.T) {
	host, dir := serve(t, nil), t.TempDir()
	push(t, layered(t, "old"), host+"/old:1")
	s, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	pulled(t, s, host+"/old:1")
	if err := eachFile(s.path("layers"), func(path string) error {
		return os.WriteFile(filepath.Join(path, unsyncedFile), []byte("another boot"), 0o600)
	}); err != nil {
		t.Fatal(err)
	}
	again, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	whole(t, again, host+"/old:1", "old")
	if marks, err := filepath.Glob(again.path("layers", "*", unsyncedFile)); err != nil || len(marks) > 0 {
		t.Errorf("still marked: %v, %v", marks, err)
	}
}
