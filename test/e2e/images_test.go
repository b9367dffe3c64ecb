package e2e

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"dhow/internal/imagebuild"
	"dhow/internal/logtest"
)

const (
	busyboxImage = "example.test/busybox:1"
	// busyboxPath is Debian's busybox-static, which .ci/run installs.
	busyboxPath = "/bin/busybox"
)

// busyboxArchive makes an archive of an image with busybox under all its names.
func busyboxArchive(t *testing.T) string {
	t.Helper()
	files := []imagebuild.File{{Path: "/bin/busybox", Source: busyboxPath, Mode: 0o755}, {Path: "/tmp", Mode: 0o1777}}
	for _, applet := range []string{"sh", "sleep", "cat", "echo", "ls", "wget", "nc", "httpd", "mount", "id", "true", "false", "grep"} {
		files = append(files, imagebuild.File{Path: "/bin/" + applet, Link: "busybox"})
	}
	image, err := imagebuild.Image(v1.Config{Cmd: []string{"/bin/sh"}, Env: []string{"PATH=/bin"}}, files...)
	if err != nil {
		t.Fatalf("%v (busybox-static must be installed)", err)
	}
	path := filepath.Join(t.TempDir(), "busybox.tar")
	if err := imagebuild.WriteArchive(image, busyboxImage, path); err != nil {
		t.Fatal(err)
	}
	return path
}

func (n *node) loadBusybox() {
	n.t.Helper()
	if out, err := n.dhow("load", "-i", busyboxArchive(n.t)); err != nil {
		n.t.Fatalf("load: %v\n%s", err, out)
	}
}

// startRegistry serves an empty registry on loopback and returns its address.
func startRegistry(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: imagebuild.Registry(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

// startDebianRegistry runs Debian's docker-registry on loopback and returns its address.
func startDebianRegistry(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	const address = "127.0.0.1:5000"
	text := "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: " + dir + "/data}}\nhttp: {addr: " + address + "}\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "serve", config)
	var log logtest.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	deadline := time.After(time.Minute)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if r, err := http.Get("http://" + address + "/v2/"); err == nil {
			r.Body.Close()
			return address
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("docker-registry does not answer:\n%s", &log)
		}
	}
}

// debianFiles are Debian's packages of a program, unpacked. They are fetched before the test program leaves the
// machine's network; without them the test fails and says so.
func debianFiles(t *testing.T, name string, programs ...string) (tree string, files []imagebuild.File) {
	t.Helper()
	dir := os.Getenv(packagesKey)
	if dir == "" {
		t.Fatal("Debian's packages cannot be fetched (does apt-get update work here?): " + os.Getenv(packagesKey+"_ERROR"))
	}
	dir = filepath.Join(dir, name)
	files, err := imagebuild.Unpack(context.Background(), dir, programs...)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "tree"), files
}
