package names

import (
	"errors"
	"strings"
	"testing"
)

func TestNamesAreSpelledInFullAndShort(t *testing.T) {
	sum := "sha256:" + strings.Repeat("a", 64)
	for ref, want := range map[string]struct{ full, familiar, repository, tag, digest string }{
		"nginx":            {"docker.io/library/nginx:latest", "nginx:latest", "docker.io/library/nginx", "latest", ""},
		"me/app:2":         {"docker.io/me/app:2", "me/app:2", "docker.io/me/app", "2", ""},
		"localhost:5000/a": {"localhost:5000/a:latest", "localhost:5000/a:latest", "localhost:5000/a", "latest", ""},
		"nginx@" + sum:     {"docker.io/library/nginx@" + sum, "nginx@" + sum, "docker.io/library/nginx", "", sum},
		"nginx:1@" + sum:   {"docker.io/library/nginx@" + sum, "nginx@" + sum, "docker.io/library/nginx", "", sum},
	} {
		full, err := Normalize(ref)
		repository, tag, digest := Cut(full)
		if err != nil || full != want.full || Familiar(full) != want.familiar || repository != want.repository || tag != want.tag || digest != want.digest {
			t.Errorf("%s: %s, %s, %s %s %s, %v", ref, full, Familiar(full), repository, tag, digest, err)
		}
	}
}

func TestWhatIsNoNameIsRefused(t *testing.T) {
	for _, ref := range []string{"", "UPPER", "a b", "a:b:c", "a@sha256:short", "../x", strings.Repeat("a", 5000), "a/" + strings.Repeat("b", 300)} {
		if full, err := Normalize(ref); !errors.Is(err, ErrInvalid) || len(err.Error()) > 1000 {
			t.Errorf("%.20q: %.60s, %.200v", ref, full, err)
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, ref := range []string{"nginx", "a/b/c:1", "localhost:5000/a@sha256:" + strings.Repeat("0", 64), "::", "a@", "[::1]:5000/a"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		full, err := Normalize(ref)
		if err != nil {
			return
		}
		if again, err := Normalize(full); err != nil || again != full {
			t.Errorf("%q is %q, and that is %q, %v", ref, full, again, err)
		}
	})
}
