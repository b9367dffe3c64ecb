package image

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// gate is a door before a registry: open lets requests by, else it answers itself.
type gate struct {
	open func(*http.Request) bool
	shut http.HandlerFunc
	on   atomic.Bool
}

func (g *gate) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.on.Load() && !g.open(r) {
			g.shut(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// serveBehind runs a registry that holds sample as hello:1, and shuts the gate.
func serveBehind(t *testing.T, g *gate) (ref string) {
	t.Helper()
	host := serve(t, g.wrap)
	push(t, sample(t), host+"/hello:1")
	g.on.Store(true)
	return host + "/hello:1"
}

// tokenRegistry wants a bearer token, which its token service gives alice for her password.
func tokenRegistry(t *testing.T) (ref string, asked *atomic.Value) {
	t.Helper()
	asked = &atomic.Value{}
	return serveBehind(t, &gate{
		open: func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer t0k3n" },
		shut: func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			switch {
			case r.URL.Path != "/token":
				w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="test"`)
				http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
			case user != "alice" || password != "open sesame":
				http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}`, http.StatusUnauthorized)
			default:
				asked.Store(r.URL.Query().Get("service") + " " + r.URL.Query().Get("scope"))
				_ = json.NewEncoder(w).Encode(map[string]any{"token": "t0k3n", "expires_in": 300})
			}
		},
	}), asked
}

func basicRegistry(t *testing.T) (ref string) {
	t.Helper()
	return serveBehind(t, &gate{
		open: func(r *http.Request) bool {
			user, password, _ := r.BasicAuth()
			return user == "alice" && password == "open sesame"
		},
		shut: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, http.StatusUnauthorized)
		},
	})
}

func TestWhoProvesWhoTheyAreMayPull(t *testing.T) {
	byToken, asked := tokenRegistry(t)
	for kind, ref := range map[string]string{"token": byToken, "basic": basicRegistry(t)} {
		alice := base64.StdEncoding.EncodeToString([]byte("alice:open sesame"))
		for how, auth := range map[string]*cri.AuthConfig{
			"user and password": {Username: "alice", Password: "open sesame"},
			"auth of a Secret":  {Auth: alice},
		} {
			if _, err := newStore(t).PullImage(t.Context(), ref, auth, nil); err != nil {
				t.Errorf("%s registry, %s: %v", kind, how, err)
			}
		}
		for how, auth := range map[string]*cri.AuthConfig{"nobody": nil, "wrong password": {Username: "alice", Password: "guess"}} {
			s := newStore(t)
			_, err := s.PullImage(t.Context(), ref, auth, nil)
			if !errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), ref) {
				t.Errorf("%s registry, %s: %v", kind, how, err)
			}
			if left := leftovers(t, s); len(left) > 0 {
				t.Errorf("%s registry, %s: left behind %v", kind, how, left)
			}
		}
	}
	if got := asked.Load(); got != "test repository:hello:pull" {
		t.Errorf("the token service was asked for %q", got)
	}
}

func TestPasswordsOfTheRegistriesFileAreUsed(t *testing.T) {
	ref := basicRegistry(t)
	host, _, _ := strings.Cut(ref, "/")
	file := filepath.Join(t.TempDir(), "registries.yaml")
	text := fmt.Sprintf("configs:\n  %q:\n    auth: {username: alice, password: open sesame}\n", host)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Dir: t.TempDir(), RegistriesFile: file})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PullImage(t.Context(), ref, nil, nil); err != nil {
		t.Error(err)
	}
}

func TestEachRefusalNamesTheImageAndTheReason(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		is     error
		says   string
	}{
		{http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`, ErrUnauthorized, "requested access to the resource is denied"},
		{http.StatusNotFound, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`, ErrNotFound, "has no such image"},
		{http.StatusTooManyRequests, `{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit"}]}`, nil, "pull rate limit"},
		{http.StatusInternalServerError, "", nil, "500"},
	} {
		t.Run(http.StatusText(c.status), func(t *testing.T) {
			t.Parallel() // the library asks again after a server's error, a few seconds long
			ref := serveBehind(t, &gate{
				open: func(r *http.Request) bool { return r.URL.Path == "/v2/" },
				shut: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, c.body, c.status) },
			})
			s := newStore(t)
			_, err := s.PullImage(t.Context(), ref, nil, nil)
			if err == nil || !strings.Contains(err.Error(), "pull "+ref) || !strings.Contains(err.Error(), c.says) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v", err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line: %v", err)
			}
			if left := leftovers(t, s); len(left) > 0 {
				t.Errorf("left behind %v", left)
			}
		})
	}
}

func TestABlobThatIsMissingOrShortIsNamed(t *testing.T) {
	t.Parallel() // the library asks again, a few seconds long
	for what, shut := range map[string]http.HandlerFunc{
		"missing": http.NotFound,
		"short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "900")
			_, _ = w.Write([]byte("short"))
			panic(http.ErrAbortHandler)
		},
	} {
		var layer string
		ref := serveBehind(t, &gate{
			open: func(r *http.Request) bool { return layer == "" || !strings.HasSuffix(r.URL.Path, layer) },
			shut: shut,
		})
		layers, err := sample(t).Layers()
		if err != nil {
			t.Fatal(err)
		}
		digest, err := layers[0].Digest()
		if err != nil {
			t.Fatal(err)
		}
		layer = digest.String()
		s := newStore(t)
		if _, err := s.PullImage(t.Context(), ref, nil, nil); err == nil || !strings.Contains(err.Error(), ref) {
			t.Errorf("%s: %v", what, err)
		}
		if images, err := s.ListImages(t.Context()); err != nil || len(images) > 0 || len(leftoversInTmp(t, s)) > 0 {
			t.Errorf("%s: left behind %v, %v, %v", what, images, leftoversInTmp(t, s), err)
		}
	}
}

func leftoversInTmp(t *testing.T, s *Store) []string {
	t.Helper()
	paths, err := filepath.Glob(s.path("tmp/*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestADownloadGoesOnEvenIfTheRegistryBeginsAnew(t *testing.T) {
	var cuts atomic.Int32
	host := serve(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				r.Header.Del("Range") // this registry knows none
				if cuts.Add(1) < 4 {
					w = &cutting{ResponseWriter: w, left: 900}
				}
			}
			next.ServeHTTP(w, r)
		})
	})
	push(t, layered(t, "x"), host+"/hello:1")
	s := newStore(t)
	if _, err := s.PullImage(t.Context(), host+"/hello:1", nil, nil); err != nil {
		t.Fatal(err)
	}
	whole(t, s, host+"/hello:1", "x")
}

// platforms pushes an index of images for some architectures.
func platforms(t *testing.T, ref string, architectures ...string) {
	t.Helper()
	index := v1.ImageIndex(empty.Index)
	for _, architecture := range architectures {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        forArchitecture(t, architecture),
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(parsed, index); err != nil {
		t.Fatal(err)
	}
}

func forArchitecture(t *testing.T, architecture string) v1.Image {
	t.Helper()
	image := layered(t, architecture)
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.Architecture = architecture
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

func TestAnImageForManyMachinesGivesTheOneForThis(t *testing.T) {
	host, s := serve(t, nil), newStore(t)
	platforms(t, host+"/many:1", "s390x", runtime.GOARCH, "riscv64")
	if _, err := s.PullImage(t.Context(), host+"/many:1", nil, nil); err != nil {
		t.Fatal(err)
	}
	whole(t, s, host+"/many:1", runtime.GOARCH)
}

func TestAnImageOnlyForOtherMachinesIsSaidSo(t *testing.T) {
	host, s := serve(t, nil), newStore(t)
	platforms(t, host+"/many:1", "s390x", "riscv64")
	push(t, forArchitecture(t, "s390x"), host+"/one:1")
	for _, ref := range []string{host + "/many:1", host + "/one:1"} {
		_, err := s.PullImage(t.Context(), ref, nil, nil)
		if err == nil || !strings.Contains(err.Error(), ref) || !strings.Contains(err.Error(), "linux/"+runtime.GOARCH) || !strings.Contains(err.Error(), "linux/s390x") {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestAnImageByDigestIsTheOneAndNoOther(t *testing.T) {
	host, s := serve(t, nil), newStore(t)
	image := layered(t, "x")
	push(t, image, host+"/hello:1")
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	ref := host + "/hello@" + digest.String()
	if _, err := s.PullImage(t.Context(), ref, nil, nil); err != nil {
		t.Fatal(err)
	}
	whole(t, s, ref, "x")
	found, err := s.ImageStatus(t.Context(), ref)
	if err != nil || len(found.RepoTags) != 0 || len(found.RepoDigests) != 1 || found.RepoDigests[0] != ref {
		t.Errorf("found %v, %v", found, err)
	}
	wrong := host + "/hello@sha256:" + strings.Repeat("0", 64)
	if _, err := s.PullImage(t.Context(), wrong, nil, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("another digest: %v", err)
	}
}

func TestAClosedPortIsARefusedConnection(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	host := strings.TrimPrefix(server.URL, "http://")
	server.Close()
	_, err := newStore(t).PullImage(t.Context(), host+"/hello:1", nil, nil)
	if err == nil || !strings.Contains(err.Error(), host+"/hello:1") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}
