package treecopy

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func same(name string) string { return name }

// archive makes one of entries.
func archive(t testing.TB, entries ...tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		if h.Typeflag == tar.TypeReg {
			h.Size = 4
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(w, "evil"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// place is a directory in one that has a file which nobody may touch.
func sealed(t testing.TB) (outside string, root *os.Root) {
	t.Helper()
	outside = t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(outside, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Join(outside, "in"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return outside, root
}

func untouched(t testing.TB, outside string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(outside, "secret"))
	if err != nil || string(data) != "kept" {
		t.Errorf("the file outside: %q, %v", data, err)
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 2 {
		t.Errorf("outside there is %v, %v", entries, err)
	}
}

func TestArchivesThatLeadOutDoNot(t *testing.T) {
	for name, entries := range map[string][]tar.Header{
		"dots":               {{Name: "../secret", Typeflag: tar.TypeReg}},
		"an absolute path":   {{Name: "/../../secret", Typeflag: tar.TypeReg}},
		"a link to a file":   {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../secret"}, {Name: "l", Typeflag: tar.TypeReg}},
		"a link to a folder": {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "l/secret", Typeflag: tar.TypeReg}},
		"links of links":     {{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "."}, {Name: "b", Typeflag: tar.TypeSymlink, Linkname: "a/.."}, {Name: "b/secret", Typeflag: tar.TypeReg}},
		"a folder in a link": {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "l/new", Typeflag: tar.TypeDir}},
		"a hard link":        {{Name: "h", Typeflag: tar.TypeLink, Linkname: "../secret"}, {Name: "h", Typeflag: tar.TypeReg}},
		"a mode by a link":   {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../secret", Mode: 0o777}},
		"a hard link by one": {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "h", Typeflag: tar.TypeLink, Linkname: "l/secret"}},
	} {
		t.Run(name, func(t *testing.T) {
			outside, root := sealed(t)
			err := Unpack(archive(t, entries...), root, same, false)
			untouched(t, outside)
			if info, e := os.Stat(filepath.Join(outside, "secret")); e != nil || info.Mode() != 0o600 {
				t.Errorf("its mode is %v, %v", info.Mode(), e)
			}
			t.Log(err)
		})
	}
}

func TestDevicesAreRefused(t *testing.T) {
	for _, kind := range []byte{tar.TypeChar, tar.TypeBlock, tar.TypeFifo} {
		_, root := sealed(t)
		err := Unpack(archive(t, tar.Header{Name: "d", Typeflag: kind}), root, same, false)
		if err == nil || !strings.Contains(err.Error(), "cannot be copied") {
			t.Errorf("%c: %v", kind, err)
		}
	}
}

func TestAFileDoesNotTakeTheplaceOfADirectory(t *testing.T) {
	_, root := sealed(t)
	err := Unpack(archive(t, tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}, tar.Header{Name: "d", Typeflag: tar.TypeReg}), root, same, false)
	if err == nil || !strings.Contains(err.Error(), "cannot overwrite directory d") {
		t.Error(err)
	}
}

func TestATreeArrivesAsItWas(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	at := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, err := range []error{
		os.MkdirAll(filepath.Join(from, "a/b"), 0o750), os.WriteFile(filepath.Join(from, "a/b/f"), []byte("text"), 0o640),
		os.Link(filepath.Join(from, "a/b/f"), filepath.Join(from, "a/hard")), os.Symlink("b/f", filepath.Join(from, "a/soft")),
		os.Chtimes(filepath.Join(from, "a/b/f"), at, at),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	in, err := os.OpenRoot(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenRoot(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var b bytes.Buffer
	if err := Pack(&b, in, "a", "other"); err != nil {
		t.Fatal(err)
	}
	if err := Unpack(&b, out, func(name string) string { return strings.Replace(name, "other", "new", 1) }, false); err != nil {
		t.Fatal(err)
	}
	f, err := os.Stat(filepath.Join(to, "new/b/f"))
	if err != nil || f.Mode() != 0o640 || !f.ModTime().Equal(at) || f.Size() != 4 {
		t.Errorf("the file: %v, %v", f, err)
	}
	if hard, err := os.Stat(filepath.Join(to, "new/hard")); err != nil || !os.SameFile(f, hard) {
		t.Errorf("the hard link: %v", err)
	}
	if target, err := os.Readlink(filepath.Join(to, "new/soft")); err != nil || target != "b/f" {
		t.Errorf("the link: %q, %v", target, err)
	}
}

func FuzzUnpackStaysInside(f *testing.F) {
	f.Add(archive(f, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: ".."}, tar.Header{Name: "l/secret", Typeflag: tar.TypeReg}).Bytes())
	f.Add(archive(f, tar.Header{Name: "d/", Typeflag: tar.TypeDir}, tar.Header{Name: "d/h", Typeflag: tar.TypeLink, Linkname: "../../secret"}).Bytes())
	f.Add(slices.Concat([]byte("not an archive"), make([]byte, 600)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64<<10 {
			return
		}
		outside, root := sealed(t)
		_ = Unpack(bytes.NewReader(data), root, same, false)
		untouched(t, outside)
	})
}
