package image

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"dhow/image/names"
	"dhow/internal/imagebuild"
)

func newStore(t *testing.T) *Store {
	t.Helper()
	s, err := New(Config{Dir: filepath.Join(t.TempDir(), "images")})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve runs a registry, each request of which passes by wrap.
func serve(t *testing.T, wrap func(http.Handler) http.Handler) (host string) {
	t.Helper()
	handler := imagebuild.Registry()
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func sample(t *testing.T) v1.Image {
	t.Helper()
	image, err := imagebuild.Image(v1.Config{Entrypoint: []string{"/hello"}, User: "7", Env: []string{"A=b"}},
		imagebuild.File{Path: "/hello", Data: []byte("#!/bin/sh\necho hello\n"), Mode: 0o755},
		imagebuild.File{Path: "/etc/big", Data: make([]byte, 3<<20)})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func push(t *testing.T, image v1.Image, ref string) {
	t.Helper()
	if err := imagebuild.Push(t.Context(), image, ref); err != nil {
		t.Fatal(err)
	}
}

func TestAPulledImageCanBeFoundAndMountedFromItsSnapshot(t *testing.T) {
	s, host := newStore(t), serve(t, nil)
	ref := host + "/hello:1"
	push(t, sample(t), ref)
	id, err := s.PullImage(t.Context(), ref, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{ref, id, strings.TrimPrefix(id, "sha256:")[:12]} {
		found, err := s.ImageStatus(t.Context(), name)
		if err != nil || found == nil || found.Id != id {
			t.Errorf("%s: found %v, %v", name, found, err)
		}
	}
	snap, err := s.Snapshot(t.Context(), "c1", ref)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(snap.Lower[0], "hello"))
	if err != nil || !strings.Contains(string(data), "echo hello") {
		t.Errorf("the layer holds %q, %v", data, err)
	}
	if snap.Config.Entrypoint[0] != "/hello" || snap.Config.User != "7" {
		t.Errorf("config is %+v", snap.Config)
	}
	again, err := s.Snapshot(t.Context(), "c1", ref)
	if err != nil || again.Upper != snap.Upper {
		t.Errorf("the same key gave %v, %v", again, err)
	}
}

func TestAnUsedImageIsKeptAndAnUnusedOneGoesWithItsLayers(t *testing.T) {
	s, host := newStore(t), serve(t, nil)
	ref := host + "/hello:1"
	push(t, sample(t), ref)
	if _, err := s.PullImage(t.Context(), ref, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Snapshot(t.Context(), "c1", ref); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveImage(t.Context(), ref); !errors.Is(err, ErrInUse) {
		t.Errorf("removing a used image: %v", err)
	}
	if err := s.RemoveSnapshot(t.Context(), "c1"); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveImage(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	layers, err := os.ReadDir(s.path("layers"))
	if err != nil || len(layers) != 0 {
		t.Errorf("left behind %v, %v", layers, err)
	}
	if err := s.RemoveImage(t.Context(), ref); err != nil {
		t.Errorf("removing it again: %v", err)
	}
}

func TestADownloadThatIsCutOffGoesOn(t *testing.T) {
	var cuts atomic.Int32
	host := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && cuts.Add(1) < 3 {
				w = &cutting{ResponseWriter: w, left: 900}
			}
			next.ServeHTTP(w, r)
		})
	})
	s := newStore(t)
	push(t, sample(t), host+"/hello:1")
	if _, err := s.PullImage(t.Context(), host+"/hello:1", nil, nil); err != nil {
		t.Fatal(err)
	}
	if cuts.Load() < 3 {
		t.Error("nothing was cut off")
	}
}

// cutting breaks the connection after some bytes.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	if len(p) <= c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, _ = c.ResponseWriter.Write(p[:c.left])
	_ = http.NewResponseController(c.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func TestARegistryThatLiesIsFoundOutAndNothingIsKept(t *testing.T) {
	host := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				w = lying{w}
			}
			next.ServeHTTP(w, r)
		})
	})
	s := newStore(t)
	push(t, sample(t), host+"/hello:1")
	if _, err := s.PullImage(t.Context(), host+"/hello:1", nil, nil); err == nil {
		t.Fatal("a changed blob was believed")
	}
	for _, folder := range []string{"images", "tags", "tmp"} {
		if left, _ := os.ReadDir(s.path(folder)); len(left) != 0 {
			t.Errorf("%s holds %v", folder, left)
		}
	}
}

// lying changes a byte in everything it writes.
type lying struct{ http.ResponseWriter }

func (l lying) Write(p []byte) (int, error) {
	q := append([]byte{}, p...)
	q[len(q)/2] ^= 1
	return l.ResponseWriter.Write(q)
}

func TestWhatIsWrongIsToldInTheUsersWords(t *testing.T) {
	private := serve(t, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			http.Error(w, "no", http.StatusUnauthorized)
		})
	})
	public := serve(t, nil)
	s := newStore(t)
	for ref, want := range map[string]error{
		public + "/none:1":  ErrNotFound,
		private + "/none:1": ErrUnauthorized,
		"UPPER CASE":        ErrInvalidName,
	} {
		if _, err := s.PullImage(t.Context(), ref, nil, nil); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", ref, err, want)
		}
	}
	_, err := s.PullImage(t.Context(), "127.0.0.1:1/none:1", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a closed port: %v", err)
	}
}

func TestAnArchiveOfDockerSaveIsLoaded(t *testing.T) {
	s := newStore(t)
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := imagebuild.WriteArchive(sample(t), "example.org/hello:2", file); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names, err := s.Load(t.Context(), f, nil)
	if err != nil || len(names) != 1 || names[0] != "example.org/hello:2" {
		t.Fatalf("loaded %v, %v", names, err)
	}
	if _, err := s.Load(t.Context(), strings.NewReader("not an archive"), nil); err == nil {
		t.Error("junk was loaded")
	}
}

func TestAMirrorIsAskedFirstAndTheImageKeepsItsName(t *testing.T) {
	host := serve(t, nil)
	push(t, sample(t), host+"/library/hello:1")
	file := filepath.Join(t.TempDir(), "registries.yaml")
	text := "mirrors:\n  example.org:\n    endpoint: [\"http://" + host + "\"]\n    rewrite: {\"^(.*)$\": \"library/$1\"}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Dir: t.TempDir(), RegistriesFile: file})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PullImage(t.Context(), "example.org/hello:1", nil, nil); err != nil {
		t.Fatal(err)
	}
	found, err := s.ImageStatus(context.Background(), "example.org/hello:1")
	if err != nil || found == nil || found.RepoTags[0] != "example.org/hello:1" {
		t.Errorf("found %v, %v", found, err)
	}
}

func TestShortNamesMeanTheHub(t *testing.T) {
	for ref, want := range map[string]string{
		"nginx":                 "docker.io/library/nginx:latest",
		"me/app:2":              "docker.io/me/app:2",
		"localhost:5000/a":      "localhost:5000/a:latest",
		"registry.example/a:1":  "registry.example/a:1",
		"docker.io/library/a:1": "docker.io/library/a:1",
	} {
		if got, err := names.Normalize(ref); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", ref, got, err, want)
		}
	}
}
