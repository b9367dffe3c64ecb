package archive

import (
	"archive/tar"
	"bytes"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func first(index *v1.IndexManifest) (v1.Descriptor, error) {
	if len(index.Manifests) == 0 {
		return v1.Descriptor{}, io.EOF
	}
	return index.Manifests[0], nil
}

func opened(t testing.TB, data []byte) (*Archive, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return Open(f)
}

func tarOf(t testing.TB, entries ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(entries); i += 2 {
		h, ok := entries[i].(*tar.Header)
		text := entries[i+1].(string)
		if !ok {
			h = &tar.Header{Typeflag: tar.TypeReg, Name: entries[i].(string), Size: int64(len(text)), Mode: 0o644}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sample(t testing.TB, format Format) []byte {
	t.Helper()
	layer := "sha256:" + strings.Repeat("a", 64)
	var b bytes.Buffer
	err := Write(&b, format, []Source{{
		Names: []string{"docker.io/library/a:1", "docker.io/library/b:1"}, Config: []byte(`{"rootfs":{"diff_ids":["` + layer + `"]}}`),
		Layers: []SourceLayer{{layer, 5, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("layer")), nil }}},
		OS:     "linux", Architecture: "amd64",
	}})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// all are the images up to an error.
func all(images iter.Seq2[Image, error]) (list []Image, err error) {
	for image, err := range images {
		if err != nil {
			return list, err
		}
		list = append(list, image)
	}
	return list, nil
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, format := range []Format{Docker, OCI} {
		a, err := opened(t, sample(t, format))
		if err != nil {
			t.Fatal(err)
		}
		images, err := all(a.Images(first))
		if err != nil || len(images) != 1 || len(images[0].Names) != 2 || len(images[0].Layers) != 1 {
			t.Fatalf("%s: read %+v, %v", format, images, err)
		}
		r, err := images[0].Layers[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		if data, err := io.ReadAll(r); err != nil || string(data) != "layer" {
			t.Errorf("%s: the layer is %q, %v", format, data, err)
		}
	}
}

func TestOldArchivesWhoseLayersAreLinksAreRead(t *testing.T) {
	link := &tar.Header{Typeflag: tar.TypeSymlink, Name: "two/layer.tar", Linkname: "../one/layer.tar"}
	a, err := opened(t, tarOf(t, "one/layer.tar", "layer", link, "", "c.json", "{}",
		"manifest.json", `[{"Config":"c.json","RepoTags":null,"Layers":["one/layer.tar","two/layer.tar"]}]`))
	if err != nil {
		t.Fatal(err)
	}
	images, err := all(a.Images(first))
	if err != nil || len(images[0].Layers) != 2 || images[0].Layers[1].Desc.Size != 5 || len(images[0].Names) != 0 {
		t.Errorf("read %+v, %v", images, err)
	}
}

func TestBadArchivesAreRefused(t *testing.T) {
	loop := &tar.Header{Typeflag: tar.TypeSymlink, Name: "manifest.json", Linkname: "manifest.json"}
	digest := strings.Repeat("0", 64)
	for what, data := range map[string][]byte{
		"nothing":              {},
		"no archive":           []byte(strings.Repeat("x", 2000)),
		"no manifest":          tarOf(t, "a", "b"),
		"a loop of links":      tarOf(t, loop, ""),
		"many nothings":        tarOf(t, "manifest.json", "["+strings.Repeat("{},", 1<<20)+"{}]"),
		"a broken manifest":    tarOf(t, "manifest.json", "{"),
		"a missing config":     tarOf(t, "manifest.json", `[{"Config":"none"}]`),
		"a missing layer":      tarOf(t, "c", "{}", "manifest.json", `[{"Config":"c","Layers":["none"]}]`),
		"a bad name":           tarOf(t, "c", "{}", "manifest.json", `[{"Config":"c","RepoTags":["BAD NAME"]}]`),
		"a way outside":        tarOf(t, "manifest.json", `[{"Config":"../../../etc/passwd"}]`),
		"a layout of nothing":  tarOf(t, "oci-layout", "{}"),
		"a blob of other text": tarOf(t, "oci-layout", "{}", "blobs/sha256/"+digest, "x", "index.json", `{"manifests":[{"digest":"sha256:`+digest+`","size":1}]}`),
		"a digest with dots":   tarOf(t, "oci-layout", "{}", "index.json", `{"manifests":[{"digest":"sha256:../../x","size":1}]}`),
	} {
		a, err := opened(t, data)
		if err == nil {
			_, err = all(a.Images(first))
		}
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzArchive(f *testing.F) {
	f.Add(sample(f, Docker))
	f.Add(sample(f, OCI))
	f.Add(tarOf(f, "manifest.json", `[{"Config":"c","Layers":["l"]}]`, "c", `{"rootfs":{}}`, "l", "x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := opened(t, data)
		if err != nil {
			return
		}
		images, err := all(a.Images(first))
		if err != nil {
			return
		}
		for _, image := range images {
			for _, layer := range image.Layers {
				if r, err := layer.Open(); err == nil {
					_, _ = io.Copy(io.Discard, r)
					r.Close()
				}
			}
		}
	})
}

func TestAnAnnotationThatCannotBeANameIsNone(t *testing.T) {
	archive := bytes.ReplaceAll(sample(t, OCI), []byte("docker.io/library/a:1"), []byte("1.0+of a long tag, is"))
	a, err := opened(t, archive)
	if err != nil {
		t.Fatal(err)
	}
	images, err := all(a.Images(first))
	if err != nil || len(images) != 1 || len(images[0].Names) != 1 || images[0].Names[0] != "docker.io/library/b:1" {
		t.Errorf("read %+v, %v", images, err)
	}
}
