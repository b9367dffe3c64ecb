package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"dhow/image/layers/layerstest"
	"dhow/internal/imagebuild"
)

const refName = "org.opencontainers.image.ref.name"

// named is an entry of an index with a name.
func named(ref string, of mutate.Appendable) mutate.IndexAddendum {
	return mutate.IndexAddendum{Add: of, Descriptor: v1.Descriptor{Annotations: map[string]string{refName: ref}}}
}

// ociArchive is the tar of an OCI layout.
func ociArchive(t *testing.T, entries ...mutate.IndexAddendum) []byte {
	t.Helper()
	dir := t.TempDir()
	if _, err := layout.Write(dir, mutate.AppendManifests(empty.Index, entries...)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func dockerArchive(t *testing.T, ref string, image v1.Image) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := imagebuild.WriteArchive(image, ref, file); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func compressed(t *testing.T, data []byte, with func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var b bytes.Buffer
	w := with(&b)
	_, err := w.Write(data)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }

func zstandard(w io.Writer) io.WriteCloser {
	z, _ := zstd.NewWriter(w) // it fails for wrong options only
	return z
}

func TestArchivesOfEitherKindAreLoadedHoweverTheyAreCompressed(t *testing.T) {
	for kind, data := range map[string][]byte{
		"OCI":    ociArchive(t, named("example.org/a:1", layered(t, "x"))),
		"Docker": dockerArchive(t, "example.org/a:1", layered(t, "x")),
	} {
		for how, packed := range map[string][]byte{"plain": data, "gzip": compressed(t, data, gzipped), "zstd": compressed(t, data, zstandard)} {
			s := newStore(t)
			names, err := s.Load(t.Context(), bytes.NewReader(packed), nil)
			if err != nil || !slices.Equal(names, []string{"example.org/a:1"}) {
				t.Errorf("%s, %s: loaded %v, %v", kind, how, names, err)
				continue
			}
			whole(t, s, "example.org/a:1", "x")
		}
	}
}

func TestAnArchiveOfManyImagesGivesAllOfThem(t *testing.T) {
	s := newStore(t)
	data := ociArchive(t, named("example.org/a:1", layered(t, "a")), named("b", layered(t, "b")))
	names, err := s.Load(t.Context(), bytes.NewReader(data), nil)
	if err != nil || !slices.Equal(names, []string{"example.org/a:1", "docker.io/library/b:latest"}) {
		t.Fatalf("loaded %v, %v", names, err)
	}
	whole(t, s, "example.org/a:1", "a")
	whole(t, s, "b", "b")
}

// many is an index of one image for some architectures.
func many(t *testing.T, architectures ...string) []mutate.IndexAddendum {
	t.Helper()
	var entries []mutate.IndexAddendum
	for _, architecture := range architectures {
		entry := named("example.org/a:1", forArchitecture(t, architecture))
		entry.Platform = &v1.Platform{OS: "linux", Architecture: architecture}
		entries = append(entries, entry)
	}
	return entries
}

func TestOfAnArchiveForManyMachinesTheImageForThisIsLoaded(t *testing.T) {
	entries := many(t, "s390x", runtime.GOARCH)
	for how, data := range map[string][]byte{
		"in one index":       ociArchive(t, entries...),
		"in an index within": ociArchive(t, named("example.org/a:1", mutate.AppendManifests(empty.Index, entries...))),
	} {
		s := newStore(t)
		if _, err := s.Load(t.Context(), bytes.NewReader(data), nil); err != nil {
			t.Errorf("%s: %v", how, err)
			continue
		}
		whole(t, s, "example.org/a:1", runtime.GOARCH)
	}
}

func TestAnArchiveOnlyForOtherMachinesIsSaidSo(t *testing.T) {
	entries := many(t, "s390x", "riscv64")
	for how, data := range map[string][]byte{
		"in one index":       ociArchive(t, entries...),
		"in an index within": ociArchive(t, named("example.org/a:1", mutate.AppendManifests(empty.Index, entries...))),
		"of docker save":     dockerArchive(t, "example.org/a:1", forArchitecture(t, "s390x")),
	} {
		_, err := newStore(t).Load(t.Context(), bytes.NewReader(data), nil)
		if err == nil || !strings.Contains(err.Error(), "linux/s390x") || !strings.Contains(err.Error(), "linux/"+runtime.GOARCH) {
			t.Errorf("%s: %v", how, err)
		}
	}
}

func TestABrokenArchiveIsRefusedAndLeavesNothing(t *testing.T) {
	good := ociArchive(t, named("example.org/a:1", layered(t, "x")))
	docker := dockerArchive(t, "example.org/a:1", layered(t, "x"))
	fifo := layerstest.Archive(t, layerstest.Regular("oci-layout"), &tar.Header{Typeflag: tar.TypeFifo, Name: "index.json"})
	outside := layerstest.Archive(t, layerstest.Regular("oci-layout"), layerstest.Regular("../../outside"))
	for what, data := range map[string][]byte{
		"an empty file":       {},
		"half an OCI archive": good[:len(good)/2],
		"half a Docker one":   docker[:len(docker)/2],
		"half a gzip":         compressed(t, good, gzipped)[:50000],
		"half a zstd":         compressed(t, good, zstandard)[:50000],
		"an archive of files": layerstest.Archive(t, layerstest.Regular("etc/passwd")),
		"a layout of a pipe":  fifo,
		"a way outside":       outside,
	} {
		s := newStore(t)
		names, err := s.Load(t.Context(), bytes.NewReader(data), nil)
		if err == nil || !strings.HasPrefix(err.Error(), "load: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: loaded %v, %v", what, names, err)
		}
		images, err := s.ListImages(t.Context())
		if err != nil || len(images) > 0 || len(leftoversInTmp(t, s)) > 0 {
			t.Errorf("%s: left behind %v, %v, %v", what, images, leftoversInTmp(t, s), err)
		}
		if _, err := os.Stat(s.path("outside")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: it wrote outside", what)
		}
	}
}

func TestAnImageWithoutANameIsLoadedAsADanglingOne(t *testing.T) {
	s := newStore(t)
	loaded, err := s.Load(t.Context(), bytes.NewReader(ociArchive(t, mutate.IndexAddendum{Add: layered(t, "x")})), nil)
	if err != nil || len(loaded) != 1 {
		t.Fatalf("loaded %v, %v", loaded, err)
	}
	d, err := s.Inspect(t.Context(), loaded[0])
	if err != nil || d.ID != loaded[0] || !d.Dangling() {
		t.Errorf("it is %+v, %v", d, err)
	}
}

func TestLayersInZstandardArePulled(t *testing.T) {
	content := layerstest.Archive(t, layerstest.Regular("zstd/file"))
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	plain, err := tarball.LayerFromOpener(open)
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.Append(empty.Image, mutate.Addendum{Layer: zstdLayer{plain, compressed(t, content, zstandard)}, MediaType: types.OCILayerZStd})
	if err != nil {
		t.Fatal(err)
	}
	host, s := serve(t, nil), newStore(t)
	push(t, image, host+"/zstd:1")
	if _, err := s.PullImage(t.Context(), host+"/zstd:1", nil, nil); err != nil {
		t.Fatal(err)
	}
	snap, err := s.Snapshot(t.Context(), "c", host+"/zstd:1")
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(snap.Lower[0], "zstd/file")); err != nil || string(data) != "x" {
		t.Errorf("the layer holds %q, %v", data, err)
	}
}

// zstdLayer is a layer with another compression.
type zstdLayer struct {
	v1.Layer
	data []byte
}

func (l zstdLayer) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(l.data))
	return h, err
}
func (l zstdLayer) Size() (int64, error) { return int64(len(l.data)), nil }
func (l zstdLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.data)), nil
}
func (l zstdLayer) MediaType() (types.MediaType, error) { return types.OCILayerZStd, nil }

func TestOnAFullDiskPullAndLoadSaySoAndLeaveNothing(t *testing.T) {
	dir := tmpfs(t, 8)
	s, err := New(Config{Dir: filepath.Join(dir, "images")})
	if err != nil {
		t.Fatal(err)
	}
	host := serve(t, nil)
	small, big := host+"/small:1", host+"/big:1"
	push(t, layered(t, "small"), small)
	large, err := imagebuild.Image(v1.Config{}, imagebuild.File{Path: "/large", Data: make([]byte, 20<<20)})
	if err != nil {
		t.Fatal(err)
	}
	more, err := large.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if large, err = mutate.AppendLayers(layered(t, "big"), more...); err != nil {
		t.Fatal(err)
	}
	push(t, large, big)
	if _, err := s.PullImage(t.Context(), small, nil, nil); err != nil {
		t.Fatal(err)
	}
	for how, fetch := range map[string]func() error{
		"pull": func() error { _, err := s.PullImage(t.Context(), big, nil, nil); return err },
		"load": func() error {
			_, err := s.Load(t.Context(), bytes.NewReader(dockerArchive(t, big, large)), nil)
			return err
		},
		"import": func() error {
			_, err := s.Import(t.Context(), bytes.NewReader(make20MB(t)), ImportOptions{})
			return err
		},
		"commit": func() error { return commitBig(t, s, small) },
		"load what unpacks too big": func() error {
			_, err := s.Load(t.Context(), bytes.NewReader(compressed(t, dockerArchive(t, big, large), gzipped)), nil)
			return err
		},
	} {
		if err := fetch(); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "no space left on device") {
			t.Errorf("%s: %v", how, err)
		}
		if left := leftovers(t, s); len(left) > 0 {
			t.Errorf("%s: left behind %v", how, left)
		}
		whole(t, s, small, "small")
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=100m"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PullImage(t.Context(), big, nil, nil); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

func make20MB(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "large", Size: 20 << 20}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 20<<20)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// commitBig fills most of the disk with a container's change and commits that.
func commitBig(t *testing.T, s *Store, ref string) error {
	t.Helper()
	snap, err := s.Snapshot(t.Context(), "big", ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(snap.Upper, "large"), make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = s.Commit(t.Context(), "big", Commit{})
	return errors.Join(err, s.RemoveSnapshot(t.Context(), "big"))
}
