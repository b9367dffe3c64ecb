package rooted

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"dhow/image/layers/layerstest"
)

// arena is a tree, and beside it a directory that nothing may touch.
func arena(t testing.TB) (tree *Tree, intact func()) {
	t.Helper()
	top := t.TempDir()
	root, victim := filepath.Join(top, "root"), filepath.Join(top, "victim")
	for _, dir := range []string{root, victim} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(victim, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	tree, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree, func() {
		t.Helper()
		for dir, want := range map[string]int{top: 2, victim: 1} {
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != want {
				t.Errorf("%s holds %v, %v", dir, entries, err)
			}
		}
		info, err := os.Stat(secret)
		if data, _ := os.ReadFile(secret); err != nil || string(data) != "secret" || info.Mode().Perm() != 0o600 {
			t.Errorf("the file outside is %q, %v, %v", data, info, err)
		}
		if info, err := os.Stat(victim); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the directory outside is %v, %v", info, err)
		}
	}
}

func FuzzUntar(f *testing.F) {
	link := func(name, target string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
	}
	hard := func(name, target string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}
	}
	for _, seed := range [][]*tar.Header{
		{link("a", "../victim"), layerstest.Regular("a/b"), layerstest.Folder("a")},
		{link("a", "../victim/secret"), layerstest.Regular("a"), hard("b", "a"), layerstest.Regular("b")},
		{hard("a", "../victim/secret"), hard("b", "/../../victim/secret"), layerstest.Regular("b")},
		{layerstest.Folder("d"), link("d", "../victim"), layerstest.Folder("d"), layerstest.Regular("d/secret")},
		{layerstest.Folder("../victim"), layerstest.Folder(".."), layerstest.Regular("../victim/secret"), layerstest.Regular("../x")},
		{link("proc", "/proc/self/root"), layerstest.Regular("proc/tmp/x"), layerstest.Regular("proc/../../victim/x")},
		{link("one", "two"), link("two", "one"), layerstest.Regular("one/x")},
		{{Typeflag: tar.TypeFifo, Name: "pipe"}, layerstest.Regular("pipe"), {Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}},
	} {
		f.Add(layerstest.Archive(f, seed...), "/")
	}
	f.Add(layerstest.Archive(f, layerstest.Regular("x")), "/../victim")
	f.Fuzz(func(t *testing.T, data []byte, target string) {
		tree, intact := arena(t)
		_ = tree.Untar(bytes.NewReader(data), target, Copy{}) // refusing is as good as keeping inside
		intact()
	})
}

func TestADirectoryIsCopiedThroughLinksThatStayInside(t *testing.T) {
	from, _ := arena(t)
	for _, name := range []string{"a/x", "b/x", "c/x", "d/x"} {
		if err := from.WriteFile(name, bytes.NewReader([]byte("new")), Attributes{Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
	}
	to, intact := arena(t)
	archive := layerstest.Archive(t, layerstest.Folder("real"), layerstest.Folder("dir"),
		&tar.Header{Typeflag: tar.TypeSymlink, Name: "dir/a", Linkname: "/real"},
		&tar.Header{Typeflag: tar.TypeSymlink, Name: "dir/b", Linkname: "../real"},
		&tar.Header{Typeflag: tar.TypeSymlink, Name: "dir/c", Linkname: "../../../../real"})
	if err := to.Untar(bytes.NewReader(archive), "/", Copy{}); err != nil {
		t.Fatal(err)
	}
	if err := (Copy{}).Dir(from, "/", to, "/dir"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/real/x", "/dir/d/x"} {
		if data, err := to.ReadFile(name, 10); err != nil || string(data) != "new" {
			t.Errorf("%s is %q, %v", name, data, err)
		}
	}
	if target, isLink := to.readlink("/dir/a"); !isLink || target != "/real" {
		t.Error("the link is gone")
	}
	intact()
}
