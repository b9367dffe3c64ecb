package registry

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/image/names"
)

const full = `
mirrors:
  example.org:
    endpoint: ["http://mirror:5000", "https://other/v2/prefix"]
    rewrite: {"^team/(.*)$": "mirrored/$1"}
  "*":
    endpoint: ["https://any:443"]
  plain:5000:
    endpoint: ["http://plain:5000"]
configs:
  "*": {tls: {insecure_skip_verify: true}}
  registry-1.docker.io: {auth: {username: u, password: p}}
`

func endpoints(t *testing.T, f *File, ref string) string {
	t.Helper()
	parsed, err := names.Parse(ref)
	if err != nil {
		t.Fatal(err)
	}
	sources, err := f.Sources(parsed, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range sources {
		all = append(all, s.Ref.Context().Scheme()+"://"+s.Ref.Name())
	}
	return strings.Join(all, " ")
}

func TestMirrorsAreAskedInOrderAndTheRegistryLast(t *testing.T) {
	f, err := Parse([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]string{
		"example.org/team/app:1": "http://mirror:5000/mirrored/app:1 https://other/mirrored/app:1 https://example.org/team/app:1",
		"elsewhere.org/app:1":    "https://any:443/app:1 https://elsewhere.org/app:1",
		"nginx":                  "https://any:443/library/nginx:latest https://index.docker.io/library/nginx:latest",
		"plain:5000/a":           "http://plain:5000/a:latest",
	} {
		if got := endpoints(t, f, ref); got != want {
			t.Errorf("%s:\n got %s\nwant %s", ref, got, want)
		}
	}
	if a := f.auth(names.Hub); a == nil {
		t.Error("the configuration of the hub's other name is not used for it")
	}
}

func TestAnEndpointsPathStandsForV2(t *testing.T) {
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if r.URL.Path != "/v2/" {
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	f := &File{Mirrors: map[string]Mirror{"a.org": {Endpoints: []string{server.URL + "/v2/cache"}}}}
	parsed, err := names.Parse("a.org/x:1")
	if err != nil {
		t.Fatal(err)
	}
	sources, err := f.Sources(parsed, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sources[0].Close()
	if _, err := sources[0].Get(t.Context()); err == nil {
		t.Error("an empty registry gave a manifest")
	}
	if !slices.Contains(asked, "/v2/cache/x/manifests/1") {
		t.Errorf("it was asked for %v", asked)
	}
}

func TestAMistakeInTheFileIsNamed(t *testing.T) {
	dir := t.TempDir()
	for text, says := range map[string]string{
		"mirrors: [a]":                                     "mirrors",
		"mirrors: {a: {endpoint: ['ftp://x']}}":            "ftp://x",
		"mirrors: {a: {endpoint: [b], rewrite: {'(': x}}}": `rewrite "("`,
		"configs: {a: {tls: {ca-file: x}}}":                "ca-file",
	} {
		path := filepath.Join(dir, "registries.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, c := range []TLS{{CAFile: "/none"}, {CertFile: "/none", KeyFile: "/none"}, {CAFile: "/dev/null"}} {
		f := &File{Configs: map[string]Host{"a.org": {TLS: &c}}}
		parsed, err := names.Parse("a.org/x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Sources(parsed, &cri.AuthConfig{}); err == nil || !strings.Contains(err.Error(), "a.org") || !strings.Contains(err.Error(), "_file") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func FuzzRegistries(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("mirrors: {a: {endpoint: ['%zz']}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse(data)
		if err != nil {
			return
		}
		parsed, err := names.Parse("example.org/team/app:1")
		if err != nil {
			t.Fatal(err)
		}
		if sources, err := file.Sources(parsed, nil); err == nil && len(sources) == 0 {
			t.Error("nobody to ask")
		}
	})
}
