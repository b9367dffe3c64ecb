package image

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"dhow/image/layers/layerstest"
	"dhow/image/records"
)

func put(t *testing.T, s *Store, lease *Lease, file string) Layer {
	t.Helper()
	layer, err := s.PutLayer(t.Context(), lease, bytes.NewReader(layerstest.Archive(t, layerstest.Regular(file))))
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func taken(t *testing.T, s *Store, name string) *Lease {
	t.Helper()
	l, err := s.Lease(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestALeaseKeepsLayersUntilItIsReleased(t *testing.T) {
	s := newStore(t)
	lease := taken(t, s, "")
	layer := put(t, s, lease, "a")
	for _, reopened := range []bool{true, false} {
		if _, err := s.Prune(t.Context(), PruneOptions{All: true}); err != nil {
			t.Fatal(err)
		}
		if !s.have(layer.DiffID) {
			t.Fatalf("a layer under a lease was swept (reopened: %v)", reopened)
		}
		if _, err := New(Config{Dir: s.dir}); err != nil {
			t.Fatal(err)
		}
	}
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prune(t.Context(), PruneOptions{}); err != nil {
		t.Fatal(err)
	}
	if s.have(layer.DiffID) {
		t.Error("a layer that nobody holds was kept")
	}
}

func TestANamedLeaseLastsOverRestarts(t *testing.T) {
	s := newStore(t)
	layer := put(t, s, taken(t, s, "build cache"), "a")
	again, err := New(Config{Dir: s.dir})
	if err != nil {
		t.Fatal(err)
	}
	lease := taken(t, again, "build cache")
	if held, _, err := lease.Held(); err != nil || len(held) != 1 || held[0] != layer.DiffID || !again.have(layer.DiffID) {
		t.Fatalf("it holds %v, %v", held, err)
	}
	if err := lease.Drop(layer.DiffID); err != nil {
		t.Fatal(err)
	}
	if _, err := again.sweep(); err != nil {
		t.Fatal(err)
	}
	if again.have(layer.DiffID) {
		t.Error("a dropped layer was kept")
	}
}

func TestAContainersLayersOutliveItsImage(t *testing.T) {
	s, host := newStore(t), serve(t, nil)
	push(t, layered(t, "x"), host+"/a:1")
	pulled(t, s, host+"/a:1")
	snap, err := s.Snapshot(t.Context(), "c", host+"/a:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(t.Context(), host+"/a:1", RemoveOptions{}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "must be forced") {
		t.Errorf("removed: %v", err)
	}
	if _, err := s.Remove(t.Context(), host+"/a:1", RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range snap.Lower {
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
	if err := s.RemoveSnapshot(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.sweep(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(s.path("layers")); err != nil || len(left) > 0 {
		t.Errorf("left behind %v, %v", left, err)
	}
}

func TestARemovalDoesNotWaitForAPullNorHarmIt(t *testing.T) {
	reached, release := make(chan struct{}), make(chan struct{})
	blobs := 0
	host := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v2/slow/blobs/") {
				if blobs++; blobs == 2 { // the first is the config
					close(reached)
					<-release
				}
			}
			next.ServeHTTP(w, r)
		})
	})
	one, err := layered(t, "x").Layers()
	if err != nil || len(one) != layerCount {
		t.Fatal(err)
	}
	push(t, sample(t), host+"/slow:1")
	push(t, layered(t, "x"), host+"/quick:1")
	s := newStore(t)
	pulled(t, s, host+"/quick:1")
	failed := make(chan error, 1)
	go func() {
		_, err := s.PullImage(context.Background(), host+"/slow:1", nil, nil)
		failed <- err
	}()
	<-reached
	done := make(chan error, 1)
	go func() { done <- s.RemoveImage(context.Background(), host+"/quick:1") }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the removal waits for the pull")
	}
	close(release)
	if err := <-failed; err != nil {
		t.Error(err)
	}
	if damaged, err := s.Verify(t.Context()); err != nil || len(damaged) > 0 {
		t.Errorf("damaged %v, %v", damaged, err)
	}
}

func TestRemovalByIDGoesByDockersRules(t *testing.T) {
	s, host := newStore(t), serve(t, nil)
	push(t, layered(t, "x"), host+"/a:1")
	p := pulled(t, s, host+"/a:1")
	for _, name := range []string{host + "/a:2", host + "/b:1"} {
		if err := s.Tag(t.Context(), p.ID, name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Remove(t.Context(), p.ID, RemoveOptions{}); !errors.Is(err, ErrConflict) {
		t.Errorf("an image of two repositories: %v", err)
	}
	if gone, err := s.Remove(t.Context(), host+"/b:1", RemoveOptions{}); err != nil || len(gone.Untagged) != 1 || len(gone.Deleted) != 0 {
		t.Errorf("one of its names: %+v, %v", gone, err)
	}
	gone, err := s.Remove(t.Context(), records.Bare(p.ID)[:8], RemoveOptions{})
	if err != nil || len(gone.Untagged) != 3 || len(gone.Deleted) != 1+layerCount || gone.Bytes == 0 {
		t.Errorf("with two names of one repository: %+v, %v", gone, err)
	}
}

func TestPruneSparesWhatIsNamedUsedOrYoung(t *testing.T) {
	s, host := newStore(t), serve(t, nil)
	push(t, layered(t, "x"), host+"/a:1")
	named := pulled(t, s, host+"/a:1")
	dangling, err := s.Import(t.Context(), bytes.NewReader(layerstest.Archive(t, layerstest.Regular("f"))), ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Prune(t.Context(), PruneOptions{Until: time.Now().Add(-time.Hour)}); err != nil || len(gone.Deleted) != 0 {
		t.Errorf("young ones: %+v, %v", gone, err)
	}
	lease := taken(t, s, "")
	if err := lease.HoldImage(dangling); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Prune(t.Context(), PruneOptions{}); err != nil || len(gone.Deleted) != 0 {
		t.Errorf("a leased one: %+v, %v", gone, err)
	}
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Prune(t.Context(), PruneOptions{}); err != nil || len(gone.Deleted) != 2 || gone.Deleted[0] != dangling || gone.Bytes != 1 {
		t.Errorf("dangling: %+v, %v", gone, err)
	}
	if _, err := s.Snapshot(t.Context(), "c", named.ID); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Prune(t.Context(), PruneOptions{All: true}); err != nil || len(gone.Deleted) != 0 {
		t.Errorf("a used one: %+v, %v", gone, err)
	}
	if err := s.RemoveSnapshot(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.Prune(t.Context(), PruneOptions{All: true}); err != nil || len(gone.Deleted) != 1+layerCount {
		t.Errorf("all: %+v, %v", gone, err)
	}
}
