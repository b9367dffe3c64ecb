package image

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"

	"dhow/image/layers/layerstest"
	"dhow/internal/rootfs"
)

// ofLayers loads an image of such layers, lowest first, and mounts a snapshot as the container engine does.
func ofLayers(t *testing.T, layers ...[]*tar.Header) (root string, snap *rootfs.Snapshot) {
	t.Helper()
	image := empty.Image
	for _, headers := range layers {
		data := layerstest.Archive(t, headers...)
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if image, err = mutate.AppendLayers(image, layer); err != nil {
			t.Fatal(err)
		}
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.ConfigFile(image, &v1.ConfigFile{OS: "linux", RootFS: config.RootFS}); err != nil {
		t.Fatal(err)
	}
	s := newStore(t)
	if _, err := s.Load(t.Context(), bytes.NewReader(dockerArchive(t, "example.org/a:1", image)), nil); err != nil {
		t.Fatal(err)
	}
	if snap, err = s.Snapshot(t.Context(), "c", "example.org/a:1"); err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	options := "lowerdir=" + strings.Join(snap.Lower, ":") + ",upperdir=" + snap.Upper + ",workdir=" + snap.Work
	if err := unix.Mount("overlay", root, "overlay", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return root, snap
}

func look(t *testing.T, root, name string) (mode, uid uint32) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(root, name), &st); err != nil {
		t.Fatal(err)
	}
	return st.Mode & 0o7777, st.Uid
}

func TestAFolderThatALayerOnlyImpliesLooksAsLowerLayersSay(t *testing.T) {
	dir := func(name string, mode int64, uid int) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode, Uid: uid}
	}
	root, _ := ofLayers(t,
		[]*tar.Header{dir("./", 0o711, 3), dir("tmp", 0o1777, 0), dir("home", 0o755, 0), dir("home/me", 0o700, 1000), dir("gone", 0o700, 9), dir("opaque", 0o700, 9), dir("opaque/in", 0o700, 9), dir("again", 0o700, 9)},
		[]*tar.Header{layerstest.Regular("tmp/x"), layerstest.Regular("home/me/deep/er/file"), layerstest.Regular("gone/new"), layerstest.Regular(".wh.gone"), layerstest.Regular("opaque/in/x"), layerstest.Regular("opaque/.wh..wh..opq"), dir("again", 0o750, 4), layerstest.Regular("again/y")},
		[]*tar.Header{layerstest.Regular("home/me/deep/other"), layerstest.Regular("again/z"), layerstest.Regular("tmp/y")})
	for name, want := range map[string]struct{ mode, uid uint32 }{
		".":               {0o711, 3},
		"tmp":             {0o1777, 0},
		"home":            {0o755, 0},
		"home/me":         {0o700, 1000},
		"home/me/deep":    {0o755, 0}, // nobody says
		"home/me/deep/er": {0o755, 0},
		"gone":            {0o755, 0}, // deleted, so the lower layer does not count
		"opaque/in":       {0o755, 0},
		"again":           {0o750, 4},
	} {
		if mode, uid := look(t, root, name); mode != want.mode || uid != want.uid {
			t.Errorf("%s: %o of %d, want %o of %d", name, mode, uid, want.mode, want.uid)
		}
	}
	if got := layerstest.Exists(root, "tmp/x", "tmp/y", "home/me/deep/er/file", "home/me/deep/other", "again/y", "again/z"); strings.Count(got, " ") != 5 {
		t.Errorf("of the files there are only %s", got)
	}
}

func TestAnImageThatImpliesNothingStartsWithAnEmptyWritableLayer(t *testing.T) {
	_, snap := ofLayers(t, []*tar.Header{layerstest.Folder("./"), layerstest.Folder("etc"), layerstest.Regular("etc/a")}, []*tar.Header{layerstest.Folder("etc"), layerstest.Regular("etc/b")})
	entries, err := os.ReadDir(snap.Upper)
	if err != nil || len(entries) != 0 {
		t.Errorf("it has %v, %v", entries, err)
	}
}
