package demo

import (
	"fmt"
	"net"
	"net/http"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"dhow/internal/imagebuild"
)

// registryAddr is where the demonstration's images come from; the manifests name it.
const registryAddr = "localhost:5000"

func imageName(version string) string { return registryAddr + "/demo:" + version }

// serveImages makes two versions of the application's image out of the dhow binary itself, and serves them by a
// registry on loopback until stop.
func (s *show) serveImages() (stop func(), err error) {
	begin := time.Now()
	l, err := net.Listen("tcp", registryAddr)
	if err != nil {
		return nil, fmt.Errorf("registry for the demonstration: %w", err)
	}
	server := &http.Server{Handler: imagebuild.Registry(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }() // ends with Close
	for _, version := range []string{"1", "2"} {
		image, err := imagebuild.Image(v1.Config{Entrypoint: []string{"/dhow", "demo", "app"}, Env: []string{"VERSION=" + version}},
			imagebuild.File{Path: "/dhow", Source: s.Self, Mode: 0o755},
			imagebuild.File{Path: "/etc/version", Data: []byte(version + "\n")},
			imagebuild.File{Path: "/tmp"})
		if err == nil {
			err = imagebuild.Push(s.ctx, image, imageName(version))
		}
		if err != nil {
			server.Close()
			return nil, err
		}
	}
	fmt.Fprintf(s.Out, "▸ two images are made of this binary and served on %s (%s)\n", registryAddr, round(time.Since(begin)))
	return func() { server.Close() }, nil
}
