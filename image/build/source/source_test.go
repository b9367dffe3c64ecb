package source

import (
	"strings"
	"testing"
)

func TestWhatIsARepositoryAndWhatOfItIsMeant(t *testing.T) {
	for word, want := range map[string]Repository{
		"https://example.org/a/b.git":           {Remote: "https://example.org/a/b.git"},
		"http://127.0.0.1:80/b.git#v1":          {Remote: "http://127.0.0.1:80/b.git", Ref: "v1"},
		"git@example.org:a/b.git#main:sub/dir":  {Remote: "git@example.org:a/b.git", Ref: "main", Subdir: "sub/dir"},
		"ssh://git@example.org/a/b#:sub":        {Remote: "ssh://git@example.org/a/b", Subdir: "sub"},
		"git://example.org/a/b#0123abc":         {Remote: "git://example.org/a/b", Ref: "0123abc"},
		"github.com/a/b":                        {Remote: "https://github.com/a/b"},
		"https://example.org/context.tar.gz":    {},
		"https://example.org/a.git/context.tar": {},
		"docker-image://example.org/a":          {},
		"./a.git":                               {},
		"a b@c:d":                               {},
		"":                                      {},
	} {
		got, ok := ParseRepository(word)
		if ok != (want != Repository{}) || ok && got != want {
			t.Errorf("%q is %+v, %v; want %+v", word, got, ok, want)
		}
	}
}

func TestARefThatLooksLikeAnOptionIsRefused(t *testing.T) {
	for _, r := range []Repository{{Remote: "https://example.org/a.git", Ref: "--upload-pack=x"}, {Remote: "-x@host:path"}} {
		if _, err := r.Fetch(t.Context(), t.TempDir(), false); err == nil || !strings.Contains(err.Error(), "does not begin with -") {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func FuzzRepository(f *testing.F) {
	for _, word := range []string{"https://a/b.git#c:d", "git@a:b", "ssh://a", "github.com/a", "%zz"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		r, ok := ParseRepository(word)
		if ok && r.Remote == "" {
			t.Errorf("%q is a repository without a place", word)
		}
	})
}
