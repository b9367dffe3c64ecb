package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dhow/image/layers/layerstest"
	"dhow/image/platform"
	"dhow/image/records"
)

// fake is a registry that answers what it is told: paths under /v2/ and their content, or a handler.
type fake struct {
	content map[string][]byte
	special map[string]http.HandlerFunc
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	if h, ok := f.special[path]; ok {
		h(w, r)
		return
	}
	data, ok := f.content[path]
	if path != "" && !ok {
		http.NotFound(w, r)
		return
	}
	if strings.Contains(path, "/manifests/") {
		var kind struct{ MediaType string }
		_ = json.Unmarshal(data, &kind) // some are no JSON by intention
		w.Header().Set("Content-Type", kind.MediaType)
		w.Header().Set("Docker-Content-Digest", digestOf(data))
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	_, _ = w.Write(data)
}

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	indexType    = "application/vnd.oci.image.index.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

// descriptor is written by hand, so that it can lie.
func descriptor(mediaType, digest string, size int) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, digest, size)
}

// fakeImage is a registry with the image x:1 of one layer; change may spoil it before it is served.
func fakeImage(t *testing.T, layer []byte, change func(f *fake, config, layer string)) (ref string) {
	t.Helper()
	config := []byte(fmt.Sprintf(`{"os":"linux","architecture":%q,"config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`,
		platform.Here().Architecture, digestOf(layer)))
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[%s]}`, manifestType,
		descriptor(configType, digestOf(config), len(config)), descriptor(layerType, digestOf(layer), len(layer)))
	f := &fake{content: map[string][]byte{
		"x/manifests/1": []byte(manifest), "x/blobs/" + digestOf(config): config, "x/blobs/" + digestOf(layer): layer,
	}, special: map[string]http.HandlerFunc{}}
	if change != nil {
		change(f, digestOf(config), digestOf(layer))
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://") + "/x:1"
}

func (f *fake) manifest(old, new string) {
	f.content["x/manifests/1"] = []byte(strings.ReplaceAll(string(f.content["x/manifests/1"]), old, new))
}

// refused fails unless the pull fails with an error of one line that says so, and leaves nothing.
func refused(t *testing.T, what, ref, says string) {
	t.Helper()
	s := newStore(t)
	_, err := s.PullImage(t.Context(), ref, nil, nil)
	if err == nil || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "pull "+ref) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: got %v, want %q", what, err, says)
	}
	if images, err := s.List(t.Context()); err != nil || len(images) > 0 {
		t.Errorf("%s: it left %d images, %v", what, len(images), err)
	}
	if left := append(leftovers(t, s), leftoversInTmp(t, s)...); len(left) > 0 {
		t.Errorf("%s: left behind %v", what, left)
	}
	if _, err := s.forgetUnfinished(); err != nil {
		t.Error(err)
	}
	for _, folder := range []string{"downloads", "layers"} {
		if left, err := os.ReadDir(s.path(folder)); err != nil || len(left) > 0 {
			t.Errorf("%s: after pruning, %s holds %v, %v", what, folder, left, err)
		}
	}
}

func TestARegistryThatLiesIsNotBelieved(t *testing.T) {
	plain := layerstest.Archive(t, layerstest.Regular("a"))
	zeros := "sha256:" + strings.Repeat("0", 64)
	for what, c := range map[string]struct {
		change func(f *fake, config, layer string)
		says   string
	}{
		"another layer": {func(f *fake, _, layer string) {
			f.content["x/blobs/"+layer] = layerstest.Archive(t, layerstest.Regular("b"))
		}, "is not what its manifest says"},
		"another config": {func(f *fake, config, _ string) {
			f.content["x/blobs/"+config] = append(f.content["x/blobs/"+config], ' ')
		}, "the registry sent"},
		"a layer of another size": {func(f *fake, _, _ string) {
			f.manifest(fmt.Sprintf(`"size":%d}]`, len(plain)), `"size":7}]`)
		}, "more than 7 bytes"},
		"a layer that is said to be larger": {func(f *fake, _, _ string) {
			f.manifest(fmt.Sprintf(`"size":%d}]`, len(plain)), `"size":99999999}]`)
		}, fmt.Sprintf("sent %d of 99999999 bytes", len(plain))},
		"a negative size": {func(f *fake, _, _ string) { f.manifest(fmt.Sprintf(`"size":%d}]`, len(plain)), `"size":-5}]`) }, "-5 bytes"},
		"a config of 10 GB": {func(f *fake, config, _ string) {
			f.manifest(fmt.Sprintf(`"size":%d},"layers"`, len(f.content["x/blobs/"+config])), `"size":10000000000},"layers"`)
		}, "10000000000 bytes"},
		"a manifest that is none":       {func(f *fake, _, _ string) { f.content["x/manifests/1"] = []byte("<html>") }, "manifest"},
		"an index of what is not there": {hollowIndex, "has no such image"},
		"an index of many indexes":      {deepIndex, "nested more than"},
		"an index of no image": {func(f *fake, _, _ string) {
			f.content["x/manifests/1"] = []byte(`{"schemaVersion":2,"mediaType":"` + indexType + `","manifests":[]}`)
		}, "no image for linux/"},
		"a digest that is no hash":   {func(f *fake, _, layer string) { f.manifest(layer, "sha256:zz") }, "manifest"},
		"a digest of another kind":   {func(f *fake, _, layer string) { f.manifest(layer, "md5:"+strings.Repeat("0", 32)) }, "manifest"},
		"a layer that is not there":  {func(f *fake, _, layer string) { f.manifest(layer, zeros) }, "not all its parts"},
		"something that is no image": {func(f *fake, _, _ string) { f.manifest(configType, "application/vnd.example.chart+json") }, "no container image"},
		"a thousand layers":          {manyLayers, "1000 layers"},
		"an endless manifest":        {endless, "MiB"},
		"a manifest of many nothings": {func(f *fake, _, _ string) {
			f.content["x/manifests/1"] = []byte(`{"schemaVersion":2,"layers":[` + strings.Repeat("{},", 1<<20) + `{}]}`)
		}, "objects"},
		"redirects in a circle":     {func(f *fake, _, layer string) { f.special["x/blobs/"+layer] = circle }, "10 redirects"},
		"a layer cut off in a gzip": {func(f *fake, _, layer string) { f.content["x/blobs/"+layer] = []byte{0x1f, 0x8b, 8, 0} }, "layer"},
		"config of nothing":         {func(f *fake, config, _ string) { f.content["x/blobs/"+config] = nil }, "config"},
	} {
		refused(t, what, fakeImage(t, plain, c.change), c.says)
	}
}

func hollowIndex(f *fake, _, _ string) {
	f.content["x/manifests/1"] = []byte(fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, indexType,
		descriptor(indexType, "sha256:"+strings.Repeat("1", 64), 10)))
	f.content["x/manifests/1"] = bytes.Replace(f.content["x/manifests/1"], []byte(`"size":10`), []byte(`"size":10,"platform":{"os":"linux","architecture":"`+platform.Here().Architecture+`"}`), 1)
	f.special["x/manifests/sha256:"+strings.Repeat("1", 64)] = http.NotFound
}

func deepIndex(f *fake, _, _ string) {
	inner := f.content["x/manifests/1"]
	kind := manifestType
	for range 6 {
		f.content["x/manifests/"+digestOf(inner)] = inner
		outer := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[%s]}`, indexType, descriptor(kind, digestOf(inner), len(inner)))
		inner, kind = []byte(outer), indexType
	}
	f.content["x/manifests/1"] = inner
}

func manyLayers(f *fake, _, layer string) {
	one := descriptor(layerType, layer, 2048)
	f.content["x/manifests/1"] = []byte(strings.Replace(string(f.content["x/manifests/1"]), `"layers":[`, `"layers":[`+strings.Repeat(one+",", 999), 1))
}

func endless(f *fake, _, _ string) {
	f.special["x/manifests/1"] = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", manifestType)
		chunk := bytes.Repeat([]byte(" "), 64<<10)
		for range 1024 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
}

func circle(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
}

func TestAMaliciousLayerIsRefusedOrKeptInside(t *testing.T) {
	long := strings.Repeat("n", 300)
	for what, c := range map[string]struct {
		headers []*tar.Header
		says    string // empty: it is taken, and harmless
	}{
		"a name too long for any file": {[]*tar.Header{layerstest.Regular(long)}, "file name too long"},
		"a path too long":              {[]*tar.Header{layerstest.Regular(strings.Repeat("d/", 3000) + "f")}, "name too long"},
		"a hard link outside":          {[]*tar.Header{{Typeflag: tar.TypeLink, Name: "h", Linkname: "../../../../etc/passwd"}}, "hard link"},
		"a hard link to the root":      {[]*tar.Header{{Typeflag: tar.TypeLink, Name: "h", Linkname: "/"}}, "hard link"},
		"a whiteout of its folder":     {[]*tar.Header{layerstest.Regular(".wh..")}, "a whiteout needs a name"},
		"a whiteout of the parent":     {[]*tar.Header{layerstest.Regular("a/.wh...")}, "a whiteout needs a name"},
		"a whiteout without a name":    {[]*tar.Header{layerstest.Regular("a/.wh.")}, "a whiteout needs a name"},
		"an unknown type":              {[]*tar.Header{{Typeflag: 'Z', Name: "z"}}, "unknown type"},
		"dots":                         {[]*tar.Header{layerstest.Regular("../../../x"), layerstest.Regular("/y")}, ""},
		"entries twice":                {[]*tar.Header{layerstest.Regular("a"), layerstest.Regular("a"), layerstest.Folder("a"), layerstest.Regular("a")}, ""},
		"an attribute of overlayfs": {[]*tar.Header{{Typeflag: tar.TypeDir, Name: "d", PAXRecords: map[string]string{
			"SCHILY.xattr.trusted.overlay.redirect": "/etc", "SCHILY.xattr.user.overlay.opaque": "y"}}}, ""},
		"a loop of links": {[]*tar.Header{{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "b"}, {Typeflag: tar.TypeSymlink, Name: "b", Linkname: "a"}, layerstest.Regular("a/x")}, "too many levels"},
	} {
		ref := fakeImage(t, layerstest.Archive(t, c.headers...), nil)
		if c.says != "" {
			refused(t, what, ref, c.says)
			continue
		}
		s := newStore(t)
		if _, err := s.PullImage(t.Context(), ref, nil, nil); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if left := leftovers(t, s); len(left) > 0 {
			t.Errorf("%s: left behind %v", what, left)
		}
		if damaged, err := s.Verify(t.Context()); err != nil || len(damaged) > 0 {
			t.Errorf("%s: damaged %v, %v", what, damaged, err)
		}
		noOverlayAttributes(t, s)
	}
}

func noOverlayAttributes(t *testing.T, s *Store) {
	t.Helper()
	dirs, err := filepath.Glob(s.path("layers/*/fs/d"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		for _, name := range []string{"trusted.overlay.redirect", "user.overlay.opaque"} {
			if _, err := unix.Getxattr(dir, name, nil); !errors.Is(err, unix.ENODATA) {
				t.Errorf("%s has %s: %v", dir, name, err)
			}
		}
	}
}

func TestTruncatedAndCorruptLayersAreRefused(t *testing.T) {
	whole := layerstest.Archive(t, layerstest.Regular("a"), layerstest.Regular("b"), layerstest.Folder("c"))
	for what, data := range map[string][]byte{
		"cut off in a header": whole[:100],
		"cut off in a file":   whole[:512],
		"a wrong checksum":    append([]byte("x"), whole[1:]...),
		"an absurd size":      absurdSize(t),
		"half a gzip":         compressed(t, whole, gzipped)[:60],
		"half a zstd":         compressed(t, whole, zstandard)[:40],
		"a gzip that is none": append([]byte{0x1f, 0x8b}, whole...),
		"a zstd that is none": append([]byte{0x28, 0xb5, 0x2f, 0xfd}, whole...),
	} {
		refused(t, what, fakeImage(t, data, nil), "layer")
	}
}

// absurdSize says that a file of one byte has an exabyte.
func absurdSize(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "huge", Size: 1 << 60}); err != nil {
		t.Fatal(err)
	}
	b.WriteString("x")
	return b.Bytes()
}

func TestAnInterruptedPullGoesOnWhereItWasEvenInAnotherProcess(t *testing.T) {
	data := layerstest.Archive(t, layerstest.Regular("a"))
	data = append(data, make([]byte, 400<<10)...)
	cut := true
	var asked []string
	ref := fakeImage(t, data, func(f *fake, _, layer string) {
		f.special["x/blobs/"+layer] = func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Header.Get("Range"))
			if !cut {
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
				return
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			if r.Header.Get("Range") == "" {
				_, _ = w.Write(data[:300<<10])
			}
			panic(http.ErrAbortHandler)
		}
	})
	dir := t.TempDir()
	s, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PullImage(t.Context(), ref, nil, nil); err == nil {
		t.Fatal("a layer that was cut off was taken")
	}
	if kept, err := os.ReadDir(s.path("downloads")); err != nil || len(kept) != 1 {
		t.Fatalf("kept %v, %v", kept, err)
	}
	cut, asked = false, nil
	again, err := New(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.PullImage(t.Context(), ref, nil, nil); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 1 || !strings.HasPrefix(asked[0], "bytes=") || asked[0] == "bytes=0-" {
		t.Errorf("it asked for %q", asked)
	}
	if left := leftovers(t, again); len(left) > 0 {
		t.Errorf("left behind %v", left)
	}
	if kept, err := os.ReadDir(again.path("downloads")); err != nil || len(kept) != 0 {
		t.Errorf("still there: %v, %v", kept, err)
	}
}

func TestADownloadThatACrashSpoiltIsBegunAnew(t *testing.T) {
	data := append(layerstest.Archive(t, layerstest.Regular("a")), make([]byte, 4096)...)
	ref := fakeImage(t, data, nil)
	s := newStore(t)
	if err := os.WriteFile(s.path("downloads", records.Bare(digestOf(data))), bytes.Repeat([]byte("spoilt"), 200), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PullImage(t.Context(), ref, nil, nil); err != nil {
		t.Error(err)
	}
}

func TestAForeignLayerComesFromItsOwnAddress(t *testing.T) {
	data := append(layerstest.Archive(t, layerstest.Regular("a")), make([]byte, 10<<20)...) // larger than any manifest
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, bytes.NewReader(data)) }))
	t.Cleanup(elsewhere.Close)
	ref := fakeImage(t, data, func(f *fake, _, layer string) {
		delete(f.content, "x/blobs/"+layer)
		f.manifest(layerType+`"`, `application/vnd.oci.image.layer.nondistributable.v1.tar","urls":["`+elsewhere.URL+`/layer"]`)
	})
	if _, err := newStore(t).PullImage(t.Context(), ref, nil, nil); err != nil {
		t.Error(err)
	}
}
