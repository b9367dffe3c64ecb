package imagebuild_test

import (
	"context"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"dhow/image"
	"dhow/internal/imagebuild"
	"dhow/internal/rootfs"
)

var config = v1.Config{
	Entrypoint: []string{"/bin/app"}, Cmd: []string{"serve"}, Env: []string{"A=b"}, User: "5:6", WorkingDir: "/srv",
	ExposedPorts: map[string]struct{}{"80/tcp": {}}, Labels: map[string]string{"who": "me"}, StopSignal: "SIGINT",
}

func build(t *testing.T) v1.Image {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("a program"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(program, 0o755|fs.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	made, err := imagebuild.Image(config,
		imagebuild.File{Path: "/bin/app", Source: program},
		imagebuild.File{Path: "/bin/again", Link: "app"},
		imagebuild.File{Path: "/etc/app.conf", Data: []byte("a = 1\n")},
		imagebuild.File{Path: "/etc/empty", Data: []byte{}},
		imagebuild.File{Path: "/tmp/within", Data: []byte("x"), Mode: 0o600},
		imagebuild.File{Path: "/tmp", Mode: 0o1777},
		imagebuild.File{Path: "/var/tmp", Mode: 0o777 | fs.ModeSticky},
		imagebuild.File{Path: "/srv"})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func store(t *testing.T) *image.Store {
	t.Helper()
	s, err := image.New(image.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// check compares what a container would get with what was built.
func check(t *testing.T, s *image.Store, ref string) {
	t.Helper()
	snap, err := s.Snapshot(t.Context(), "c", ref)
	if err != nil {
		t.Fatal(err)
	}
	checkConfig(t, snap)
	for path, want := range map[string]struct {
		mode    uint32
		content string
	}{
		"bin/app":      {unix.S_IFREG | 0o4755, "a program"},
		"bin/again":    {unix.S_IFLNK | 0o777, ""},
		"etc/app.conf": {unix.S_IFREG | 0o644, "a = 1\n"},
		"etc/empty":    {unix.S_IFREG | 0o644, ""},
		"tmp/within":   {unix.S_IFREG | 0o600, "x"},
		"bin":          {unix.S_IFDIR | 0o755, ""},
		"tmp":          {unix.S_IFDIR | 0o1777, ""},
		"var/tmp":      {unix.S_IFDIR | 0o1777, ""},
		"srv":          {unix.S_IFDIR | 0o755, ""},
	} {
		full := filepath.Join(snap.Lower[0], path)
		var st unix.Stat_t
		if err := unix.Lstat(full, &st); err != nil || st.Mode != want.mode || st.Uid != 0 || st.Gid != 0 {
			t.Errorf("%s: mode %o of %d:%d, %v, want %o of 0:0", path, st.Mode, st.Uid, st.Gid, err, want.mode)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			if data, err := os.ReadFile(full); err != nil || string(data) != want.content {
				t.Errorf("%s holds %q, %v", path, data, err)
			}
		}
	}
	if target, err := os.Readlink(filepath.Join(snap.Lower[0], "bin/again")); err != nil || target != "app" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
}

func checkConfig(t *testing.T, snap *rootfs.Snapshot) {
	t.Helper()
	c := snap.Config
	got := v1.Config{Entrypoint: c.Entrypoint, Cmd: c.Cmd, Env: c.Env, User: c.User, WorkingDir: c.WorkingDir,
		ExposedPorts: c.ExposedPorts, Labels: c.Labels, StopSignal: c.StopSignal}
	if !reflect.DeepEqual(got, config) {
		t.Errorf("config is %+v, want %+v", got, config)
	}
}

func TestAnImagePushedToTheRegistryIsPulledAsItWasBuilt(t *testing.T) {
	server := httptest.NewServer(imagebuild.Registry())
	t.Cleanup(server.Close)
	ref := strings.TrimPrefix(server.URL, "http://") + "/app:1"
	if err := imagebuild.Push(t.Context(), build(t), ref); err != nil {
		t.Fatal(err)
	}
	s := store(t)
	if _, err := s.PullImage(t.Context(), ref, nil, nil); err != nil {
		t.Fatal(err)
	}
	check(t, s, ref)
}

func TestAnImageWrittenToAnArchiveIsLoadedAsItWasBuilt(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "not/yet/made/app.tar")
	if err := imagebuild.WriteArchive(build(t), "example.org/app:1", archive); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := store(t)
	if _, err := s.Load(t.Context(), f, nil); err != nil {
		t.Fatal(err)
	}
	check(t, s, "example.org/app:1")
}

func TestTheSameFilesMakeTheSameImageForThisMachine(t *testing.T) {
	one, err := build(t).Digest()
	if err != nil {
		t.Fatal(err)
	}
	two, err := build(t).Digest()
	if err != nil {
		t.Fatal(err)
	}
	if one != two {
		t.Errorf("%s and %s", one, two)
	}
	file, err := build(t).ConfigFile()
	if err != nil || file.OS != "linux" || file.Architecture != runtime.GOARCH {
		t.Errorf("for %s/%s, %v", file.OS, file.Architecture, err)
	}
}

func TestAFileThatIsNotThereIsNamed(t *testing.T) {
	_, err := imagebuild.Image(v1.Config{}, imagebuild.File{Path: "/bin/app", Source: "/does/not/exist"})
	if err == nil || !strings.Contains(err.Error(), "/bin/app") || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("got %v", err)
	}
}

func TestAPushThatFailsNamesTheImage(t *testing.T) {
	server := httptest.NewServer(imagebuild.Registry())
	host := strings.TrimPrefix(server.URL, "http://")
	server.Close()
	if err := imagebuild.Push(t.Context(), build(t), host+"/app:1"); err == nil || !strings.Contains(err.Error(), host+"/app:1") {
		t.Errorf("got %v", err)
	}
}

func TestAProgramOfDebiansPackagesRunsFromItsImage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	if err := imagebuild.Download(ctx, dir, []string{"busybox"}); err != nil {
		t.Fatalf("apt-get gives no package (does apt-get update work here?): %v", err)
	}
	files, err := imagebuild.Unpack(ctx, dir, "/bin/busybox")
	if err != nil {
		if files, err = imagebuild.Unpack(ctx, dir, "/usr/bin/busybox"); err != nil {
			t.Fatal(err)
		}
	}
	made, err := imagebuild.Image(v1.Config{}, files...)
	if err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "busybox.tar")
	if err := imagebuild.WriteArchive(made, "example.org/busybox:1", archive); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := store(t)
	if _, err := s.Load(ctx, f, nil); err != nil {
		t.Fatal(err)
	}
	snap, err := s.Snapshot(ctx, "c", "example.org/busybox:1")
	if err != nil {
		t.Fatal(err)
	}
	program := "/bin/busybox"
	if _, err := os.Stat(filepath.Join(snap.Lower[0], program)); err != nil {
		program = "/usr/bin/busybox"
	}
	out, err := exec.CommandContext(ctx, "chroot", snap.Lower[0], program, "echo", "from Debian").CombinedOutput()
	if err != nil || string(out) != "from Debian\n" {
		t.Errorf("it says %q, %v", out, err)
	}
}
