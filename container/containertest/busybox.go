package containertest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dhow/internal/rootfs"
)

// Busybox gives every container a root with busybox, whatever image it names. It implements container.Images.
type Busybox struct{ lower, dir string }

var applets = []string{
	"sh", "cat", "sleep", "echo", "id", "env", "true", "false", "ls", "kill", "touch", "stty", "tty", "head", "wc", "grep", "nc", "printf", "pwd", "tr", "rm", "httpd", "hostname",
}

// NewBusybox makes the root, which goes with the test.
func NewBusybox(t testing.TB) *Busybox {
	t.Helper()
	program, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal("busybox is missing: apt-get install busybox-static")
	}
	b := OpenBusybox(t.TempDir())
	for _, d := range []string{"bin", "etc", "tmp", "proc", "sys", "dev"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(b.lower, d), 0o755))
	}
	data, problem := os.ReadFile(program)
	err = errors.Join(err, problem, os.WriteFile(filepath.Join(b.lower, "bin/busybox"), data, 0o755))
	for _, name := range applets {
		err = errors.Join(err, os.Symlink("busybox", filepath.Join(b.lower, "bin", name)))
	}
	for name, text := range map[string]string{
		"passwd": "root:x:0:0::/root:/bin/sh\nsailor:x:1000:1000::/tmp:/bin/sh\n", "group": "root:x:0:\nsailor:x:1000:\ncrew:x:50000:sailor\n",
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(b.lower, "etc", name), []byte(text), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// OpenBusybox is the one that NewBusybox made in a folder, for another process.
func OpenBusybox(dir string) *Busybox { return &Busybox{lower: filepath.Join(dir, "lower"), dir: dir} }

// Dir has the root (lower) and a folder for each snapshot.
func (b *Busybox) Dir() string { return b.dir }

// Snapshot implements container.Images.
func (b *Busybox) Snapshot(_ context.Context, key, _ string) (*rootfs.Snapshot, error) {
	upper, work := filepath.Join(b.dir, key, "upper"), filepath.Join(b.dir, key, "work")
	if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
		return nil, err
	}
	return &rootfs.Snapshot{
		Lower: []string{b.lower}, Upper: upper, Work: work, ImageID: "sha256:busybox", Config: ocispec.ImageConfig{Cmd: []string{"true"}},
	}, nil
}

// RemoveSnapshot implements container.Images.
func (b *Busybox) RemoveSnapshot(_ context.Context, key string) error {
	return os.RemoveAll(filepath.Join(b.dir, key))
}
