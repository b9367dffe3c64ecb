package changes

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree makes files (names that end with / are directories), links to $TO ("a.link"), whiteouts ("-a") and opaque directories
// ("a/!").
func tree(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	check(t, os.Chmod(dir, 0o755))
	for _, name := range names {
		at := filepath.Join(dir, name)
		switch {
		case name[0] == '-':
			at = filepath.Join(dir, name[1:])
			check(t, os.MkdirAll(filepath.Dir(at), 0o755))
			check(t, unix.Mknod(at, unix.S_IFCHR, 0))
		case name[len(name)-1] == '!':
			at = filepath.Dir(at)
			check(t, os.MkdirAll(at, 0o755))
			check(t, unix.Lsetxattr(at, "trusted.overlay.opaque", []byte("y"), 0))
		case name[len(name)-1] == '/':
			check(t, os.MkdirAll(at, 0o755))
		case filepath.Ext(name) == ".link":
			check(t, os.Symlink(os.Getenv("TO"), at))
		default:
			check(t, os.MkdirAll(filepath.Dir(at), 0o755))
			check(t, os.WriteFile(at, nil, 0o644))
		}
	}
	return dir
}

func TestChangesAreThoseOfTheWritableLayer(t *testing.T) {
	outside := tree(t, "secret", "dir/inner")
	t.Setenv("TO", outside)
	for _, c := range []struct {
		what   string
		lower  [][]string // topmost first
		upper  []string
		mounts []string
		want   []string
	}{
		{"a new file", [][]string{{"a"}}, []string{"b"}, nil, []string{"A b"}},
		{"a file written anew", [][]string{{"a"}}, []string{"a"}, nil, []string{"C a"}},
		{"a file that is gone", [][]string{{"a"}}, []string{"-a"}, nil, []string{"D a"}},
		{"a file that came and went", [][]string{{"a"}}, []string{"-b"}, nil, nil},
		{"a file that a layer has hidden already", [][]string{{"-a"}, {"a"}}, []string{"a"}, nil, []string{"A a"}},
		{"a directory made anew", [][]string{{"d/x", "d/y"}}, []string{"d/!", "d/x"}, nil, []string{"C d", "C d/x", "D d/y"}},
		{"a directory that a layer has made anew", [][]string{{"d/!", "d/x"}, {"d/x", "d/y"}}, []string{"d/y"}, nil, []string{"C d", "A d/y"}},
		{"a directory made anew over one made anew", [][]string{{"d/!", "d/x"}, {"d/y"}}, []string{"d/!"}, nil, []string{"C d", "D d/x"}},
		{"a directory in place of a link", [][]string{{"d.link"}}, []string{"d.link/secret", "d.link/dir/!"}, nil, []string{"C d.link", "A d.link/dir", "A d.link/secret"}},
		{"a directory in place of a file", [][]string{{"d"}, {"d/x"}}, []string{"d/x"}, nil, []string{"C d", "A d/x"}},
		{"what was made for a mount", [][]string{{"a"}}, []string{"mnt/volume/", "file"}, []string{"/mnt/volume", "file"}, nil},
	} {
		var lower []string
		for _, names := range c.lower {
			lower = append(lower, tree(t, names...))
		}
		upper := tree(t, c.upper...)
		same(t, upper, lower)
		found, err := Of(lower, upper, c.mounts)
		check(t, err)
		var got []string
		for _, f := range found {
			got = append(got, string(f.Kind)+" "+f.Path[1:])
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

// same gives directories of the writable layer the times of those below, as overlayfs does.
func same(t *testing.T, upper string, lower []string) {
	t.Helper()
	for _, layer := range lower {
		entries, err := os.ReadDir(layer)
		check(t, err)
		for _, e := range entries {
			if info, err := e.Info(); err == nil && e.IsDir() {
				_ = os.Chtimes(filepath.Join(upper, e.Name()), info.ModTime(), info.ModTime())
			}
		}
	}
}

func TestAWritableLayerThatIsGoneIsAnError(t *testing.T) {
	if _, err := Of(nil, filepath.Join(t.TempDir(), "none"), nil); err == nil {
		t.Error("it is none")
	}
}
