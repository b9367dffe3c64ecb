package layers

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dhow/image/layers/layerstest"
)

// unpacked is the folder of a layer made of an archive.
func unpacked(t *testing.T, data []byte) (dir string, m Metadata) {
	t.Helper()
	dir = t.TempDir()
	m, err := Unpack(bytes.NewReader(data), dir, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return dir, m
}

func readBack(t *testing.T, dir string) []byte {
	t.Helper()
	r, err := Archive(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func sized(name string, size int) (h *tar.Header, content []byte) {
	content = make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size), byte(len(name))}).Read(content)
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(size), Mode: 0o644}, content
}

func TestALayerIsReadBackByteForByte(t *testing.T) {
	soft := func(name, to string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
	}
	hard := func(name, to string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
	}
	for name, headers := range map[string][]*tar.Header{
		"plain":              {layerstest.Folder("a"), layerstest.Regular("a/b"), layerstest.Regular("c"), soft("d", "a/b"), hard("e", "c")},
		"over a link":        {layerstest.Folder("real"), soft("link", "real"), layerstest.Regular("link/file"), soft("link", "gone")},
		"replaced":           {layerstest.Regular("a"), layerstest.Regular("b"), layerstest.Regular("a"), layerstest.Regular("a")},
		"replaced by a link": {layerstest.Regular("a"), hard("b", "a"), soft("a", "b"), soft("b", "a")},
		"a folder replaced":  {layerstest.Folder("d"), layerstest.Regular("d/x"), layerstest.Folder("d/e"), layerstest.Regular("d/e/y"), layerstest.Regular("d")},
		"whiteouts":          {layerstest.Regular("a/.wh.b"), layerstest.Regular("a/.wh..wh..opq"), layerstest.Regular("a/c")},
		"linked, replaced":   {layerstest.Regular("a"), hard("b", "a"), layerstest.Regular("a"), layerstest.Regular("b")},
	} {
		t.Run(name, func(t *testing.T) {
			data := append(layerstest.Archive(t, headers...), make([]byte, 8192)...) // tools fill up to whole records
			dir, m := unpacked(t, data)
			if !bytes.Equal(readBack(t, dir), data) {
				t.Error("the archive is another one")
			}
			sum := sha256.Sum256(data)
			if m.DiffID != "sha256:"+hex.EncodeToString(sum[:]) {
				t.Errorf("metadata %+v", m)
			}
			if err := Verify(dir, m.DiffID); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFilesOfManySizesAreReadBack(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, size := range []int{0, 1, 511, 512, 513, 70_000, 300_000} {
		h, content := sized(strings.Repeat("n", size%200+1), size)
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir, m := unpacked(t, b.Bytes())
	if !bytes.Equal(readBack(t, dir), b.Bytes()) {
		t.Error("the archive is another one")
	}
	if m.Size != 1+511+512+513+70_000+300_000 || m.Bytes != int64(b.Len()) {
		t.Errorf("metadata %+v", m)
	}
}

func TestADamagedLayerIsRecognised(t *testing.T) {
	for what, damage := range map[string]func(file string) error{
		"shorter": func(file string) error { return os.Truncate(file, 0) },
		"changed": func(file string) error { return os.WriteFile(file, []byte("y"), 0o644) },
		"gone":    os.Remove,
		"a link": func(file string) error {
			if err := os.Remove(file); err != nil {
				return err
			}
			return os.Symlink("/etc/hostname", file)
		},
	} {
		dir, m := unpacked(t, layerstest.Archive(t, layerstest.Regular("a/b")))
		if err := damage(filepath.Join(Root(dir), "a/b")); err != nil {
			t.Fatal(err)
		}
		if err := Verify(dir, m.DiffID); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestWhatAnOverlayChangesBecomesALayer(t *testing.T) {
	root := merged(t, []*tar.Header{layerstest.Folder("keep"), layerstest.Regular("keep/a"), layerstest.Folder("hide"), layerstest.Regular("hide/a"), layerstest.Regular("delete")})
	upper, work, over := t.TempDir(), t.TempDir(), t.TempDir()
	if err := unix.Mount("overlay", over, "overlay", 0, "lowerdir="+root+",upperdir="+upper+",workdir="+work); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(over, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	change := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(over, name) }
	change(os.Remove(in("delete")))
	change(os.RemoveAll(in("hide")))
	change(os.Mkdir(in("hide"), 0o755))
	change(os.WriteFile(in("hide/new"), []byte("new"), 0o4755))
	change(os.Link(in("hide/new"), in("hard")))
	change(os.Symlink("hide/new", in("soft")))
	change(unix.Mknod(in("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	change(unix.Mkfifo(in("fifo"), 0o600))
	change(unix.Mknod(in("socket"), unix.S_IFSOCK|0o600, 0))
	change(unix.Setxattr(in("hide/new"), "user.note", []byte("kept"), 0))
	change(os.Chmod(in("hide/new"), 0o755|os.ModeSetuid))
	at := time.Unix(1_700_000_000, 0)
	var first, second bytes.Buffer
	change(Diff(&first, upper, at))
	change(Diff(&second, upper, at))
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two archives of one layer differ")
	}
	dir, _ := unpacked(t, first.Bytes())
	top := t.TempDir()
	change(unix.Mount("overlay", top, "overlay", unix.MS_RDONLY, "lowerdir="+Root(dir)+":"+root))
	t.Cleanup(func() { _ = unix.Unmount(top, unix.MNT_DETACH) })
	if got := layerstest.Exists(top, "keep/a", "hide/a", "delete", "hide/new", "hard", "soft", "null", "fifo", "socket"); got != "keep/a hide/new hard soft null fifo" {
		t.Errorf("it shows %s", got)
	}
	var st, link unix.Stat_t
	change(unix.Lstat(filepath.Join(top, "hide/new"), &st))
	change(unix.Lstat(filepath.Join(top, "hard"), &link))
	if st.Mode&0o7777 != 0o4755 || st.Ino != link.Ino || st.Mtim.Sec != at.Unix() {
		t.Errorf("the file is %+v, its link %+v", st, link)
	}
	value := make([]byte, 16)
	if n, err := unix.Getxattr(filepath.Join(top, "hide/new"), "user.note", value); err != nil || string(value[:n]) != "kept" {
		t.Errorf("the attribute is %q, %v", value, err)
	}
}

func TestABombIsRefused(t *testing.T) {
	h, _ := sized("zeros", 1<<20)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, h.Size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Unpack(bytes.NewReader(zipped(t, b.Bytes())), t.TempDir(), Limits{Bytes: 100_000, Ratio: 50})
	if err == nil || !strings.Contains(err.Error(), "made to fill disks") {
		t.Errorf("got %v", err)
	}
	if _, err := Unpack(bytes.NewReader(zipped(t, b.Bytes())), t.TempDir(), Limits{}); err != nil {
		t.Errorf("a small one that compresses well: %v", err)
	}
}

func zipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
