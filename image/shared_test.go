package image

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"dhow/image/layers"
	"dhow/image/layers/layerstest"
	"dhow/image/leases"
	"dhow/image/records"
)

// What several processes do at once, and what must not be taken for damage.

// made is an image of one layer, with a name.
func made(t *testing.T, s *Store, name, file string) string {
	t.Helper()
	lease := taken(t, s, "")
	defer lease.End()
	layer := put(t, s, lease, file)
	id, err := s.Put(t.Context(), Spec{RootFS: RootFS{DiffIDs: []string{layer.DiffID}}}, name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAStoreMayLieInAFolderWhoseNameLooksLikeAPattern(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `a[b]*\c`)
	s, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	id := made(t, s, "one", "a")
	if _, err := s.Snapshot(t.Context(), "key", "one"); err != nil {
		t.Fatal(err)
	}
	again, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := again.Inspect(t.Context(), id[:20]); err != nil || d.ID != id {
		t.Errorf("%+v, %v", d, err)
	}
	if _, err := again.Remove(t.Context(), "one", RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(again.path("layers")); err != nil || len(entries) != 1 {
		t.Errorf("a container's layers: %v, %v", entries, err)
	}
}

func TestWhatCannotBeReadJustNowIsNotTakenForBroken(t *testing.T) {
	s := newStore(t)
	made(t, s, "one", "a")
	full := &fs.PathError{Op: "open", Path: "x", Err: unix.EMFILE}
	if err := s.checkFiles("images", func(string) error { return full }); !errors.Is(err, unix.EMFILE) {
		t.Errorf("got %v", err)
	}
	if all, err := s.List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("%d images are left, %v", len(all), err)
	}
}

func TestTheLayersOfASnapshotThatCannotBeReadAreKept(t *testing.T) {
	s := newStore(t)
	made(t, s, "one", "a")
	if _, err := s.Snapshot(t.Context(), "key", "one"); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.path("snapshots", records.HashName("key"), snapshotFile), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(t.Context(), "one", RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(s.path("layers"))
	if err != nil || len(entries) != 1 {
		t.Errorf("layers %v, %v", entries, err)
	}
	if err := s.RemoveSnapshot(t.Context(), "key"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sweep(); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, s); len(left) > 0 {
		t.Errorf("left behind %v", left)
	}
}

func TestAPushDoesNotTakeBackANameThatWasGivenToAnotherImageMeanwhile(t *testing.T) {
	s := newStore(t)
	var second string
	host := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") {
				if err := s.Tag(context.Background(), second, r.Host+"/x:1"); err != nil {
					t.Error(err)
				}
			}
		})
	})
	made(t, s, host+"/x:1", "a")
	second = made(t, s, "second", "b")
	if _, err := s.Push(t.Context(), host+"/x:1", PushOptions{}); err != nil {
		t.Fatal(err)
	}
	if d, err := s.Inspect(t.Context(), host+"/x:1"); err != nil || d.ID != second {
		t.Errorf("the name stands for %+v, %v", d, err)
	}
}

func TestImagesAreListedWhileOthersRemoveSome(t *testing.T) {
	s := newStore(t)
	other, err := New(Config{Dir: s.dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		for ctx.Err() == nil {
			made(t, other, "one", "a")
			if _, err := other.Remove(t.Context(), "one", RemoveOptions{}); err != nil {
				t.Error(err)
			}
		}
	})
	for range 300 {
		if _, err := s.List(t.Context()); err != nil {
			t.Error(err)
			break
		}
		if _, err := s.Inspect(t.Context(), "one"); err != nil && !errors.Is(err, ErrNotFound) {
			t.Error(err)
			break
		}
	}
	cancel()
	work.Wait()
}

func TestANamedLeaseMayBeReleasedByOneProcessAndHeldByAnother(t *testing.T) {
	s := newStore(t)
	one, two := taken(t, s, "name"), taken(t, s, "name")
	if err := one.Release(); err != nil {
		t.Fatal(err)
	}
	digest := "sha256:" + strings.Repeat("a", 64)
	if err := two.Hold(digest); err != nil {
		t.Fatal(err)
	}
	if held, _, err := taken(t, s, "name").Held(); err != nil || len(held) != 1 || held[0] != digest {
		t.Errorf("held %v, %v", held, err)
	}
}

func TestANamedLeaseThatACrashLeftWithoutItsNameEnds(t *testing.T) {
	s := newStore(t)
	taken(t, s, "name")
	if err := eachFile(s.path("leases"), func(dir string) error { return truncate(filepath.Join(dir, leases.NameFile)) }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sweep(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(s.path("leases")); err != nil || len(entries) > 0 {
		t.Errorf("leases %v, %v", entries, err)
	}
}

func TestWhoWaitsForAnothersPullMayGiveUp(t *testing.T) {
	s := newStore(t)
	release, err := s.only(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.only(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	release()
	if len(s.pulls) > 0 {
		t.Errorf("%d names are remembered", len(s.pulls))
	}
}

func TestALayerThatHidesEverythingBelowIsTheLowest(t *testing.T) {
	s := newStore(t)
	lease := taken(t, s, "")
	low := put(t, s, lease, "low")
	high, err := s.PutLayer(t.Context(), lease, bytes.NewReader(layerstest.Archive(t, layerstest.Regular(".wh..wh..opq"), layerstest.Regular("high"))))
	if err != nil {
		t.Fatal(err)
	}
	snap, err := s.SnapshotOf(t.Context(), "key", []string{low.DiffID, high.DiffID}, ocispec.ImageConfig{})
	if err != nil || len(snap.Lower) != 1 || snap.Lower[0] != layers.Root(s.layer(high.DiffID)) {
		t.Errorf("%+v, %v", snap, err)
	}
}

func TestAnArchiveOfImagesThatUnpacksWithoutEndIsRefused(t *testing.T) {
	s := newStore(t)
	s.limits = layers.Limits{Bytes: 100_000, Ratio: 10}
	_, err := s.Load(t.Context(), bytes.NewReader(compressed(t, make([]byte, 1<<20), gzipped)), nil)
	if err == nil || !strings.Contains(err.Error(), "made to fill disks") {
		t.Errorf("got %v", err)
	}
	if left := leftovers(t, s); len(left) > 0 {
		t.Errorf("left behind %v", left)
	}
}
