package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// testImage is an image under the names by which the suite asks for it, without their registry.
type testImage struct {
	names  []string
	files  []file
	config v1.Config
}

// file of an image: a folder where it has neither text nor source nor link. Links are hard, since a test hides one
// name of busybox's.
type file struct {
	path, text, source, link string
	mode                     int64
}

const (
	tools = "k8s-staging-cri-tools/"
	e2e   = "e2e-test-images/"
	// benchmarks of pulls use other people's names.
	benchmarks = "docker/library/"
)

// testImages stand in for the suite's own, as far as its tests look: busybox is Debian's, web servers are one Go program.
// The one that is asked for by its digest cannot be had.
func testImages(ctx context.Context, bin string) ([]testImage, error) {
	box, err := busybox(ctx, bin)
	if err != nil {
		return nil, err
	}
	with := func(more ...file) []file { return append(append([]file{}, box...), more...) }
	different := func(text string) []file { return with(file{path: "test", text: text}) }
	server := with(file{path: "usr/sbin/nginx", source: filepath.Join(bin, "webserver"), mode: 0o755}, file{path: "var/run/.keep"})
	listen := func(port string) v1.Config { return v1.Config{Cmd: []string{"/usr/sbin/nginx", port}} }
	plain := v1.Config{Cmd: []string{"sh"}}
	user := func(u string) v1.Config { return v1.Config{Cmd: []string{"sh"}, User: u} }
	grouped := append(box[:len(box)-2:len(box)-2],
		file{path: "etc/passwd", text: passwd + "default-user:x:1000:1000::/home/default-user:/bin/sh\n"},
		file{path: "etc/group", text: group + "default-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n"})
	return []testImage{
		{[]string{e2e + "busybox:1.29-2"}, box, plain},
		{[]string{benchmarks + "busybox:1.35.0-glibc", benchmarks + "busybox:1-uclibc", benchmarks + "busybox:1", benchmarks + "busybox:1-glibc", benchmarks + "busybox:1-musl"}, different("measure"), plain},
		{[]string{e2e + "nginx:1.14-2", e2e + "httpd:2.4.39-4"}, server, listen("80")},
		{[]string{tools + "hostnet-nginx-amd64", tools + "hostnet-nginx-arm64"}, server, listen("12003")},
		{[]string{e2e + "nonewprivs:1.3"}, with(file{path: "nnp", source: filepath.Join(bin, "nonewprivs"), mode: 0o4755}), v1.Config{Entrypoint: []string{"/nnp"}}},
		{[]string{tools + "test-image-user-uid"}, box, user("1002")},
		{[]string{tools + "test-image-user-username"}, box, user("www-data")},
		{[]string{tools + "test-image-user-uid-group"}, box, user("1003:1003")},
		{[]string{tools + "test-image-user-username-group"}, box, user("www-data:www-data")},
		{[]string{tools + "test-image-predefined-group"}, grouped, user("1000")},
		{[]string{tools + "test-image-latest"}, different("latest"), plain},
		{[]string{tools + "test-image-tag:test"}, different("tag"), plain},
		{[]string{tools + "test-image-tag:all"}, different("all"), plain},
		{[]string{tools + "test-image-1"}, different("1"), plain},
		{[]string{tools + "test-image-2"}, different("2"), plain},
		{[]string{tools + "test-image-3"}, different("3"), plain},
		{[]string{tools + "test-image-tags:1", tools + "test-image-tags:2", tools + "test-image-tags:3"}, different("tags"), plain},
	}, nil
}

const (
	passwd = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"
	group  = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n"
)

// served is a registry on loopback.
type served struct {
	address string
	server  *http.Server
}

func (s served) close() { s.server.Close() }

// serveImages builds the images and serves them.
func serveImages(ctx context.Context, bin string) (served, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return served{}, err
	}
	s := served{l.Addr().String(), &http.Server{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}}
	go func() { _ = s.server.Serve(l) }() // until close
	all, err := testImages(ctx, bin)
	if err != nil {
		return s, err
	}
	for _, i := range all {
		built, err := i.build()
		if err != nil {
			return s, fmt.Errorf("image %s: %w", i.names[0], err)
		}
		for _, n := range i.names {
			ref, err := name.ParseReference(s.address+"/"+n, name.Insecure)
			if err != nil {
				return s, err
			}
			if err := remote.Write(ref, built); err != nil {
				return s, fmt.Errorf("image %s: %w", n, err)
			}
		}
	}
	return s, nil
}

func (i testImage) build() (v1.Image, error) {
	var layer bytes.Buffer
	tw := tar.NewWriter(&layer)
	for _, f := range i.files {
		if err := f.write(tw); err != nil {
			return nil, err
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	config := i.config
	config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", Config: config})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(image, l)
}

func (f file) write(tw *tar.Writer) error {
	h := &tar.Header{Name: f.path, Mode: f.mode, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	data := []byte(f.text)
	switch {
	case f.link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeLink, f.link, 0o755
	case f.source != "":
		var err error
		if data, err = os.ReadFile(f.source); err != nil {
			return err
		}
	case f.text == "" && !strings.HasSuffix(f.path, "/.keep"):
		h.Typeflag = tar.TypeDir
	}
	if h.Mode == 0 {
		h.Mode = map[byte]int64{tar.TypeDir: 0o755, tar.TypeReg: 0o644}[h.Typeflag]
	}
	h.Size = int64(len(data))
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err := tw.Write(data)
	return err
}
