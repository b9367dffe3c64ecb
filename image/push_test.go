package image

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"dhow/image/archive"
	"dhow/image/layers/layerstest"
	"dhow/image/spec"
)

// statuses collects the last status of each thing of a pull or push.
type statuses struct {
	mu   sync.Mutex
	last map[string]string
}

func (s *statuses) tell(p Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = map[string]string{}
	}
	s.last[p.Digest] = p.Status
}

func (s *statuses) count(status string) (n int) {
	for _, last := range s.last {
		if last == status {
			n++
		}
	}
	return n
}

func pulled(t *testing.T, s *Store, ref string) Pulled {
	t.Helper()
	p, err := s.Pull(t.Context(), ref, PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAPulledImageIsPushedWithItsDigestAndOnlyWhatIsMissingIsSent(t *testing.T) {
	var uploads sync.Map
	host := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/") {
				uploads.Store(r.URL.Path, true)
			}
			next.ServeHTTP(w, r)
		})
	})
	push(t, layered(t, "x"), host+"/one:1")
	s := newStore(t)
	was := pulled(t, s, host+"/one:1")
	if err := s.Tag(t.Context(), host+"/one:1", host+"/one:2"); err != nil {
		t.Fatal(err)
	}
	uploads.Clear()
	var told statuses
	done, err := s.Push(t.Context(), host+"/one:2", PushOptions{Progress: told.tell})
	if err != nil || done.Digest != was.Digest {
		t.Fatalf("pushed %+v, %v; it was pulled as %s", done, err, was.Digest)
	}
	uploads.Range(func(path, _ any) bool { t.Errorf("sent %s again", path); return true })
	if told.count("exists") != layerCount {
		t.Errorf("told %v", told.last)
	}
}

func TestAnImagePushedElsewhereIsTheSameImage(t *testing.T) {
	from, to := serve(t, nil), serve(t, nil)
	push(t, layered(t, "x"), from+"/one:1")
	s := newStore(t)
	was := pulled(t, s, from+"/one:1")
	if err := s.Tag(t.Context(), was.ID, to+"/other:1"); err != nil {
		t.Fatal(err)
	}
	first, err := s.Push(t.Context(), to+"/other:1", PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Push(t.Context(), to+"/other:1", PushOptions{})
	if err != nil || again != first {
		t.Errorf("pushed %+v, then %+v, %v", first, again, err)
	}
	fresh := newStore(t)
	if now := pulled(t, fresh, to+"/other:1"); now.ID != was.ID || now.Digest != first.Digest {
		t.Errorf("pulled %+v, was %+v", now, was)
	}
	whole(t, fresh, to+"/other:1", "x")
	d, err := s.Inspect(t.Context(), to+"/other@"+first.Digest)
	if err != nil || !slices.Contains(d.Digests, to+"/other@"+first.Digest) {
		t.Errorf("by its new digest: %+v, %v", d, err)
	}
}

func TestWhatAnotherRepositoryHasIsMounted(t *testing.T) {
	var mounted sync.Map
	host := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// the library's registry shares blobs over its repositories, so it is told apart here
			if r.Method == http.MethodHead && strings.HasPrefix(r.URL.Path, "/v2/two/blobs/") {
				http.NotFound(w, r)
				return
			}
			if from := r.URL.Query().Get("from"); from != "" {
				mounted.Store(r.URL.Query().Get("mount"), from)
				w.Header().Set("Location", "/v2/two/blobs/"+r.URL.Query().Get("mount"))
				w.WriteHeader(http.StatusCreated)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	push(t, layered(t, "x"), host+"/one:1")
	s := newStore(t)
	was := pulled(t, s, host+"/one:1")
	if err := s.Tag(t.Context(), was.ID, host+"/two:1"); err != nil {
		t.Fatal(err)
	}
	var told statuses
	if _, err := s.Push(t.Context(), host+"/two:1", PushOptions{Progress: told.tell}); err != nil {
		t.Fatal(err)
	}
	if told.count("mounted") != layerCount {
		t.Errorf("told %v", told.last)
	}
	mounted.Range(func(_, from any) bool {
		if from != "one" {
			t.Errorf("mounted from %v", from)
		}
		return true
	})
}

func TestAPushOfNoImageOrADigestIsRefused(t *testing.T) {
	s := newStore(t)
	for ref, says := range map[string]string{
		"example.org/none:1": "no image here has that name",
		"example.org/none@sha256:" + strings.Repeat("0", 64): "push a tag",
	} {
		if _, err := s.Push(t.Context(), ref, PushOptions{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestAnImageMadeHereCanBePushedAndSaved(t *testing.T) {
	s, host := newStore(t), serve(t, nil)
	lease, err := s.Lease(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	layer, err := s.PutLayer(t.Context(), lease, bytes.NewReader(layerstest.Archive(t, layerstest.Regular("a"))))
	if err != nil {
		t.Fatal(err)
	}
	spec := Spec{RootFS: RootFS{DiffIDs: []string{layer.DiffID, layer.DiffID}}}
	spec.Config.Healthcheck = &Healthcheck{Test: []string{"CMD", "true"}}
	id, err := s.Put(t.Context(), spec, host+"/made:1")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Put(t.Context(), spec, host+"/made:2"); err != nil || again != id {
		t.Errorf("the same image again is %s, %v", again, err)
	}
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(t.Context(), host+"/made:1", PushOptions{}); err != nil {
		t.Fatal(err)
	}
	fresh := newStore(t)
	if p := pulled(t, fresh, host+"/made:1"); p.ID != id {
		t.Errorf("pulled %s, put %s", p.ID, id)
	}
	d, err := fresh.Inspect(t.Context(), host+"/made:1")
	if err != nil || d.Spec.Config.Healthcheck.Test[1] != "true" || len(d.Layers) != 2 {
		t.Errorf("it is %+v, %v", d, err)
	}
}

func TestWhatIsSavedIsLoadedAsTheSameImages(t *testing.T) {
	host := serve(t, nil)
	push(t, layered(t, "a"), host+"/a:1")
	push(t, layered(t, "b"), host+"/b:1")
	s := newStore(t)
	a, b := pulled(t, s, host+"/a:1"), pulled(t, s, host+"/b:1")
	if err := s.Tag(t.Context(), a.ID, host+"/a:2"); err != nil {
		t.Fatal(err)
	}
	for _, format := range []archive.Format{archive.Docker, archive.OCI} {
		var first, second bytes.Buffer
		for _, w := range []*bytes.Buffer{&first, &second} {
			if err := s.Save(t.Context(), w, format, host+"/a", b.ID); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("%s: two archives of the same images differ", format)
		}
		fresh := newStore(t)
		loaded, err := fresh.Load(t.Context(), &first, nil)
		slices.Sort(loaded)
		if want := []string{host + "/a:1", host + "/a:2", b.ID}; err != nil || !slices.Equal(loaded, want) {
			t.Errorf("%s: loaded %v, %v, want %v", format, loaded, err, want)
		}
		whole(t, fresh, host+"/a:2", "a")
		whole(t, fresh, b.ID, "b")
		if d, err := fresh.Inspect(t.Context(), host+"/a:1"); err != nil || d.ID != a.ID {
			t.Errorf("%s: %+v, %v", format, d, err)
		}
	}
	if err := s.Save(t.Context(), &bytes.Buffer{}, archive.Docker, "example.org/none"); err == nil || !strings.Contains(err.Error(), "example.org/none") {
		t.Errorf("what is not there was saved: %v", err)
	}
}

func TestALayoutInAFolderIsLoaded(t *testing.T) {
	s := newStore(t)
	host := serve(t, nil)
	push(t, layered(t, "a"), host+"/a:1")
	pulled(t, s, host+"/a:1")
	var packed bytes.Buffer
	if err := s.Save(t.Context(), &packed, archive.OCI, host+"/a:1"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	layerstest.Extract(t, &packed, dir)
	fresh := newStore(t)
	if loaded, err := fresh.LoadDir(t.Context(), dir, LoadOptions{}); err != nil || len(loaded) != 1 {
		t.Fatalf("loaded %v, %v", loaded, err)
	}
	whole(t, fresh, host+"/a:1", "a")
	if err := os.Remove(filepath.Join(dir, "index.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.LoadDir(t.Context(), dir, LoadOptions{}); err == nil || !strings.Contains(err.Error(), "index.json") {
		t.Errorf("without an index: %v", err)
	}
}

func TestAnImportedArchiveIsAnImage(t *testing.T) {
	s := newStore(t)
	change, err := spec.ParseChanges([]string{`CMD ["/a"]`, `ENV A=b C="d e"`, "EXPOSE 80", "LABEL x=y"})
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.Import(t.Context(), bytes.NewReader(layerstest.Archive(t, layerstest.Regular("a"))), ImportOptions{Name: "made:1", Message: "m", Change: change})
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Inspect(t.Context(), "made:1")
	if err != nil || d.ID != id || d.Spec.Config.Cmd[0] != "/a" || !slices.Equal(d.Spec.Config.Env, []string{"A=b", "C=d e"}) || d.Spec.Comment != "m" {
		t.Errorf("it is %+v, %v", d, err)
	}
	for _, line := range []string{"RUN x", "ENV", "ENV a=\"b", "LABEL =x"} {
		if _, err := spec.ParseChanges([]string{line}); err == nil {
			t.Errorf("%q was taken", line)
		}
	}
}

func TestACommittedContainerIsAnImageOnTopOfItsOwn(t *testing.T) {
	s, host := newStore(t), serve(t, nil)
	push(t, sample(t), host+"/hello:1")
	pulled(t, s, host+"/hello:1")
	snap, err := s.Snapshot(t.Context(), "c", host+"/hello:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(snap.Upper, "new"), []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	id, err := s.Commit(t.Context(), "c", Commit{Names: []string{"mine:1"}, Author: "me", Comment: "why", CreatedBy: "sh"})
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.Inspect(t.Context(), "mine:1")
	if err != nil || d.ID != id || len(d.Layers) != 2 || d.Spec.Config.User != "7" || d.Spec.Author != "me" {
		t.Fatalf("it is %+v, %v", d, err)
	}
	over, err := s.Snapshot(t.Context(), "d", "mine:1")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(over.Lower[0], "new")); err != nil || string(data) != "new" {
		t.Errorf("the new layer holds %q, %v", data, err)
	}
	steps, err := s.History(t.Context(), "mine:1")
	if err != nil || steps[0].ID != id || steps[0].Comment != "why" || steps[0].Tags[0] != "mine:1" {
		t.Errorf("history %+v, %v", steps, err)
	}
	if _, err := s.Commit(context.Background(), "none", Commit{}); err == nil {
		t.Error("a snapshot that is not there was committed")
	}
}
