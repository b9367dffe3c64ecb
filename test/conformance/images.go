package main

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	upstream "k8s.io/kubernetes/test/utils/image"

	"judge"
)

// debianPackages are what the images take from Debian; apt adds what these depend on.
var debianPackages = []string{
	"base-files", "bash", "bash-static", "bind9-dnsutils", "busybox-static", "ca-certificates", "coreutils", "curl", "dash",
	"hostname", "iperf", "iproute2", "libc-bin", "netcat-openbsd", "nginx",
}

// notInBase are packages that the common base image has no use for.
var notInBase = regexp.MustCompile(`^(busybox-static|bash-static|nginx|nginx-common|dpkg|tar|mawk|debconf|openssl|gcc-12-base|libicu-dev)_`)

// testImage is an image as the suite asks for it.
type testImage struct {
	file   string // of the archive, without .tar
	id     upstream.ImageID
	layers []string // root folders, lowest first
	config v1.Config
}

func testImages() []testImage {
	base := []string{"debian", "agnhost"}
	server := v1.Config{Cmd: []string{"nginx", "-g", "daemon off;"}, StopSignal: "SIGQUIT"}
	again := server
	again.Env = []string{"NGINX_TAG=new"} // tests that change an image want another digest
	agnhost := func(words ...string) v1.Config { return v1.Config{Entrypoint: []string{"/agnhost"}, Cmd: words} }
	before := agnhost("pause")
	before.Env = []string{"AGNHOST_TAG=previous"}
	return []testImage{
		{"pause", upstream.Pause, []string{"pause"}, v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535"}},
		{"busybox", upstream.BusyBox, []string{"busybox"}, v1.Config{Cmd: []string{"sh"}}},
		{"agnhost", upstream.Agnhost, base, agnhost("pause")},
		{"agnhost-prev", upstream.AgnhostPrev, base, before},
		{"nautilus", upstream.Nautilus, append(base, "nautilus"), agnhost("test-webserver")},
		{"kitten", upstream.Kitten, append(base, "kitten"), agnhost("test-webserver")},
		{"glibc-dns-testing", upstream.GlibcDnsTesting, []string{"debian"}, v1.Config{Cmd: []string{"bash"}}},
		{"nginx", upstream.Nginx, []string{"busybox", "nginx"}, server},
		{"nginx-new", upstream.NginxNew, []string{"busybox", "nginx"}, again},
		{"etcd", upstream.Etcd, []string{"etcd"}, v1.Config{Cmd: []string{"etcd"}}},
		{"sample-apiserver", upstream.APIServer, []string{"busybox", "sample-apiserver"}, v1.Config{Entrypoint: []string{"/sample-apiserver"}}},
		{"nonewprivs", upstream.Nonewprivs, []string{"busybox", "nonewprivs"}, v1.Config{Cmd: []string{"nnp"}}},
		{"nonroot", upstream.NonRoot, []string{"debian"}, v1.Config{User: "1234", Cmd: []string{"bash"}}},
	}
}

// buildImages makes the archives of the test images that are not there yet.
func buildImages(ctx context.Context, o options) error {
	var missing []testImage
	for _, i := range testImages() {
		if !exists(i.archive(o.images())) {
			missing = append(missing, i)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	fmt.Println("building images ...")
	dir, err := os.MkdirTemp("", "dhow-conformance-roots-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	files, err := moduleDir(ctx, "k8s.io/kubernetes")
	if err != nil {
		return err
	}
	r := roots{dir: dir, bin: o.bin(), upstream: files, debs: judge.Packages{Dir: filepath.Join(o.Out, "debs")}}
	if err := r.debs.Download(ctx, debianPackages...); err != nil {
		return err
	}
	if err := r.make(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(o.images(), 0o755); err != nil {
		return err
	}
	for _, i := range missing {
		if err := i.write(dir, o.images()); err != nil {
			return fmt.Errorf("image %s: %w", i.file, err)
		}
	}
	return nil
}

func (i testImage) archive(dir string) string { return filepath.Join(dir, i.file+".tar") }

// write makes the archive, whole or not at all.
func (i testImage) write(roots, dir string) error {
	config := i.config
	config.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, config.Env...)
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", Config: config})
	if err != nil {
		return err
	}
	for _, l := range i.layers {
		layer, err := folderLayer(filepath.Join(roots, l))
		if err != nil {
			return err
		}
		if image, err = mutate.AppendLayers(image, layer); err != nil {
			return err
		}
	}
	ref, err := name.NewTag(upstream.GetE2EImage(i.id))
	if err != nil {
		return err
	}
	part := i.archive(dir) + ".part"
	if err := tarball.WriteToFile(part, ref, image); err != nil {
		return err
	}
	return os.Rename(part, i.archive(dir))
}

// folderLayer is a layer of all that is below a folder. Times are zero, so that the same folder has the same digest.
func folderLayer(dir string) (v1.Layer, error) {
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(writeTar(w, dir)) }()
		return r, nil
	})
}

func writeTar(w io.Writer, dir string) error {
	tw := tar.NewWriter(w)
	first := map[fileID]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == dir {
			return err
		}
		return writeEntry(tw, dir, path, info, first)
	})
	if err != nil {
		return err
	}
	return tw.Close()
}

func writeEntry(tw *tar.Writer, dir, path string, info os.FileInfo, first map[fileID]string) error {
	target := ""
	if info.Mode()&os.ModeSymlink != 0 {
		var err error
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	h.Name, err = filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	h.Format, h.ModTime, h.AccessTime, h.ChangeTime, h.Uname, h.Gname = tar.FormatPAX, time.Unix(0, 0), time.Time{}, time.Time{}, "", ""
	if name, linked := anotherName(info, h.Name, first); linked {
		h.Typeflag, h.Linkname, h.Size = tar.TypeLink, name, 0
	}
	if err := tw.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(tw, f)
	return err
}
