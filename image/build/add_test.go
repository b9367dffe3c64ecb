package build

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func archiveOf(t *testing.T, headers ...*tar.Header) string {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = 2
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte("x\n")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestAddUnpacksArchivesAndKeepsThemInside(t *testing.T) {
	r := newRig(t)
	r.file("a.tgz", archiveOf(t,
		&tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o750},
		&tar.Header{Typeflag: tar.TypeReg, Name: "d/f", Mode: 0o640},
		&tar.Header{Typeflag: tar.TypeLink, Name: "d/hard", Linkname: "d/f"},
		&tar.Header{Typeflag: tar.TypeSymlink, Name: "up", Linkname: "/"},
		&tar.Header{Typeflag: tar.TypeReg, Name: "../../escape", Mode: 0o600},
		&tar.Header{Typeflag: tar.TypeReg, Name: "up/through", Mode: 0o600}))
	r.build("FROM base\nADD a.tgz /x/\nCOPY a.tgz /y/\n"+
		"RUN grep x /x/d/f && test /x/d/f -ef /x/d/hard && test -f /x/escape && test -f /x/through && ! test -e /escape && test -f /y/a.tgz\n"+
		"RUN test $(stat -c %a /x/d) = 750\n", Options{})
}

func TestAddOfAURLIsCheckedAndFollowsItsContent(t *testing.T) {
	r := newRig(t)
	var content atomic.Value
	content.Store("one")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(content.Load().(string))) }))
	t.Cleanup(server.Close)
	text := "FROM base\nADD " + server.URL + "/file /x/\nRUN cat /x/file\n"
	for _, step := range []struct {
		content string
		runs    int
	}{{"one", 1}, {"one", 0}, {"two", 1}} {
		content.Store(step.content)
		r.build(text, Options{})
		if got := r.ran(); len(got) != step.runs {
			t.Errorf("with content %q %d commands ran, want %d", step.content, len(got), step.runs)
		}
	}
	_, err := r.try("FROM base\nADD --checksum=sha256:"+strings.Repeat("0", 64)+" "+server.URL+"/file /x\n", Options{})
	if err == nil || !strings.Contains(err.Error(), "digest mismatch") {
		t.Errorf("a wrong checksum: %v", err)
	}
}

func TestIndependentStagesRunBesideOneAnother(t *testing.T) {
	r := newRig(t)
	const meet = "RUN --mount=type=cache,target=/m touch /m/%; n=0; until test -e /m/one -a -e /m/two; do n=$((n+1)); test $n -lt 6000 || exit 1; usleep 10000; done; touch /%\n"
	text := "FROM base AS one\n" + strings.ReplaceAll(meet, "%", "one") + "FROM base AS two\n" + strings.ReplaceAll(meet, "%", "two") +
		"FROM base\nCOPY --from=one /one /\nCOPY --from=two /two /\n"
	r.build(text, Options{})
}
