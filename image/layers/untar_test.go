package layers

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dhow/image/layers/layerstest"
)

// untar unpacks an archive so that root, which is not there yet, holds its files.
func untar(r io.Reader, root string) error {
	_, err := Unpack(r, filepath.Dir(root), Limits{})
	return err
}

// arena is a directory to unpack into, beside others that nothing may touch: neither what is in them, nor their
// modes, owners, attributes and links, each of which would change the time of the last change.
func arena(t testing.TB) (root string, intact func()) {
	t.Helper()
	dir := t.TempDir()
	root = filepath.Join(dir, "layer/fs")
	victim := filepath.Join(dir, "victim")
	for _, d := range []string{filepath.Dir(root), victim} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(victim, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := changes(t, dir, victim, secret)
	return root, func() {
		t.Helper()
		if after := changes(t, dir, victim, secret); after != before {
			t.Errorf("outside the root: was %v, is %v", before, after)
		}
	}
}

// changes are the times of the last change of some files.
func changes(t testing.TB, paths ...string) (times [3]unix.Timespec) {
	t.Helper()
	for i, path := range paths {
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			t.Fatal(err)
		}
		times[i] = st.Ctim
	}
	return times
}

func TestNothingIsWrittenOutsideTheRoot(t *testing.T) {
	file := func(name string) *tar.Header { return &tar.Header{Typeflag: tar.TypeReg, Name: name} }
	link := func(name, target string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
	}
	for name, headers := range map[string][]*tar.Header{
		"dots":               {file("../victim/a"), file("../../victim/a"), file("a/../../victim/b")},
		"absolute":           {file("/victim/a")},
		"link up":            {link("up", "../victim"), file("up/a")},
		"absolute link":      {link("up", "/victim"), file("up/a")},
		"link to link":       {link("one", ".."), link("two", "one/victim"), file("two/a")},
		"hard link outside":  {{Typeflag: tar.TypeLink, Name: "h", Linkname: "../victim/a"}},
		"whiteout of parent": {file(".wh..."), file("a/.wh...")},
		"link, then dir":     {link("d", "../victim"), {Typeflag: tar.TypeDir, Name: "d"}, file("d/a")},
		"opaque link":        {link("d", "../victim"), file("d/.wh..wh..opq")},
	} {
		t.Run(name, func(t *testing.T) {
			root, intact := arena(t)
			_ = untar(bytes.NewReader(layerstest.Archive(t, headers...)), root) // refusing is as good as keeping inside
			intact()
		})
	}
}

func TestDeletionsBecomeOverlaysOwn(t *testing.T) {
	root, _ := arena(t)
	data := layerstest.Archive(t,
		&tar.Header{Typeflag: tar.TypeReg, Name: "etc/.wh.gone"},
		&tar.Header{Typeflag: tar.TypeReg, Name: "var/.wh..wh..opq"})
	if err := untar(bytes.NewReader(data), root); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(root, "etc/gone"), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
		t.Errorf("whiteout is %o %d, %v", st.Mode, st.Rdev, err)
	}
	value := make([]byte, 8)
	if n, err := unix.Getxattr(filepath.Join(root, "var"), "trusted.overlay.opaque", value); err != nil || string(value[:n]) != "y" {
		t.Errorf("opaque is %q, %v", value, err)
	}
}

func TestOwnersModesTimesAndLinksAreKept(t *testing.T) {
	root, _ := arena(t)
	at := time.Unix(1700000000, 0)
	data := layerstest.Archive(t,
		&tar.Header{Typeflag: tar.TypeDir, Name: "d", Mode: 0o1777, ModTime: at},
		&tar.Header{Typeflag: tar.TypeReg, Name: "d/f", Mode: 0o4711, Uid: 5, Gid: 6, ModTime: at},
		&tar.Header{Typeflag: tar.TypeLink, Name: "hard", Linkname: "d/f"},
		&tar.Header{Typeflag: tar.TypeSymlink, Name: "soft", Linkname: "/d/f", Uid: 8})
	if err := untar(bytes.NewReader(data), root); err != nil {
		t.Fatal(err)
	}
	var dir, f, hard, soft unix.Stat_t
	for path, st := range map[string]*unix.Stat_t{"d": &dir, "d/f": &f, "hard": &hard, "soft": &soft} {
		if err := unix.Lstat(filepath.Join(root, path), st); err != nil {
			t.Fatal(err)
		}
	}
	if f.Mode&0o7777 != 0o4711 || f.Uid != 5 || f.Gid != 6 || f.Mtim.Sec != at.Unix() {
		t.Errorf("file: %+v", f)
	}
	if dir.Mode&0o7777 != 0o1777 || dir.Mtim.Sec != at.Unix() {
		t.Errorf("directory: %+v", dir)
	}
	if hard.Ino != f.Ino || soft.Uid != 8 {
		t.Errorf("links: %+v %+v", hard, soft)
	}
}

func TestALaterEntryReplacesAnEarlierOne(t *testing.T) {
	root, _ := arena(t)
	data := layerstest.Archive(t,
		&tar.Header{Typeflag: tar.TypeDir, Name: "a"},
		&tar.Header{Typeflag: tar.TypeReg, Name: "a/b"},
		&tar.Header{Typeflag: tar.TypeReg, Name: "a"},
		&tar.Header{Typeflag: tar.TypeReg, Name: "a"})
	if err := untar(bytes.NewReader(data), root); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(filepath.Join(root, "a")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("a is %v, %v", info, err)
	}
}

// FuzzUntar finds more with -fuzzminimizetime 1x: minimising takes the most of its time else.
func FuzzUntar(f *testing.F) {
	link := func(name, target string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
	}
	hard := func(name, target string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}
	}
	for _, seed := range [][]*tar.Header{
		{link("a", "../victim"), layerstest.Regular("a/b")},
		{link("a", "../victim"), layerstest.Regular("a/.wh.secret"), layerstest.Regular("a/.wh..wh..opq")},
		{link("a", "../victim/secret"), layerstest.Regular("a"), hard("b", "a")},
		{hard("a", "../victim/secret"), hard("b", "/../../victim/secret")},
		{layerstest.Folder("d"), link("d", "../victim"), layerstest.Folder("d"), layerstest.Regular("d/secret")},
		{layerstest.Folder("../victim"), layerstest.Folder("."), layerstest.Folder(".."), layerstest.Regular("../victim/secret")},
		{layerstest.Regular("x/.wh.y"), layerstest.Folder("x/y"), layerstest.Regular("x/y/z")},
		{{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}, {Typeflag: tar.TypeFifo, Name: "fifo"}, layerstest.Regular("fifo")},
		{link("proc", "/proc/self/root"), layerstest.Regular("proc/tmp/x"), layerstest.Regular("proc/../../victim/x")},
	} {
		f.Add(layerstest.Archive(f, seed...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		root, intact := arena(t)
		m, err := Unpack(bytes.NewReader(data), filepath.Dir(root), Limits{})
		intact()
		if err == nil {
			if err := Verify(filepath.Dir(root), m.DiffID); err != nil {
				t.Errorf("it is not read back: %v", err)
			}
		}
	})
}

func TestDevicesAndPipesAreMadeAndNeverWrittenTo(t *testing.T) {
	root, _ := arena(t)
	data := layerstest.Archive(t,
		&tar.Header{Typeflag: tar.TypeChar, Name: "dev/null", Mode: 0o666, Devmajor: 1, Devminor: 3},
		&tar.Header{Typeflag: tar.TypeBlock, Name: "dev/sda", Mode: 0o660, Devmajor: 8},
		&tar.Header{Typeflag: tar.TypeChar, Name: "becomes", Devmajor: 1, Devminor: 3},
		&tar.Header{Typeflag: tar.TypeFifo, Name: "pipe"},
		layerstest.Regular("becomes"), layerstest.Regular("pipe")) // written to, the pipe would wait for a reader for ever
	if err := untar(bytes.NewReader(data), root); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		mode   uint32
		device uint64
	}{
		"dev/null": {unix.S_IFCHR | 0o666, unix.Mkdev(1, 3)}, "dev/sda": {unix.S_IFBLK | 0o660, unix.Mkdev(8, 0)},
		"becomes": {unix.S_IFREG, 0}, "pipe": {unix.S_IFREG, 0},
	} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(root, name), &st); err != nil {
			t.Fatal(err)
		}
		if kind := st.Mode & (unix.S_IFMT | 0o777); kind != want.mode && st.Mode&unix.S_IFMT != want.mode || st.Rdev != want.device {
			t.Errorf("%s is %o of device %x", name, kind, st.Rdev)
		}
	}
}
