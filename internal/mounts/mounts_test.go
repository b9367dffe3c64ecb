package mounts

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// volume is a directory with a file, beside one that is nobody's business.
func volume(t *testing.T) (dir, target string) {
	t.Helper()
	base := filepath.Join(t.TempDir(), "with a blank")
	dir, target = filepath.Join(base, "volume"), filepath.Join(base, "pods/a/parts/0")
	must(t, errors.Join(os.MkdirAll(filepath.Join(dir, "sub"), 0o755), os.MkdirAll(filepath.Join(base, "secret"), 0o755)))
	must(t, errors.Join(os.WriteFile(filepath.Join(dir, "sub/file"), []byte("mine"), 0o644), os.WriteFile(filepath.Join(base, "secret/file"), []byte("not mine"), 0o644)))
	t.Cleanup(func() { must(t, UnmountBelow(base)) })
	return dir, target
}

func TestAPartOfAVolumeIsMounted(t *testing.T) {
	dir, target := volume(t)
	must(t, Part(dir, "sub", target))
	if text, err := os.ReadFile(filepath.Join(target, "file")); string(text) != "mine" {
		t.Errorf("a directory: %q, %v", text, err)
	}
	must(t, Part(dir, "sub/file", target)) // in its place
	if text, err := os.ReadFile(target); string(text) != "mine" {
		t.Errorf("a file: %q, %v", text, err)
	}
	must(t, errors.Join(os.Chown(dir, -1, 123), os.Chmod(dir, 0o777|os.ModeSetgid)))
	must(t, Part(dir, "new/and/deep", target))
	info, err := os.Stat(target)
	must(t, err)
	if want := os.ModeDir | os.ModeSetgid | 0o777; info.Mode() != want || info.Sys().(*syscall.Stat_t).Gid != 123 {
		t.Errorf("what is made has mode %v, want %v as the volume, and group %v", info.Mode(), want, info.Sys().(*syscall.Stat_t).Gid)
	}
	must(t, os.WriteFile(filepath.Join(target, "x"), nil, 0o644))
	if _, err := os.Stat(filepath.Join(dir, "new/and/deep/x")); err != nil {
		t.Errorf("what was not there: %v", err)
	}
	if points, err := Below(filepath.Dir(target)); len(points) != 1 || err != nil {
		t.Errorf("mounted are %v, %v", points, err)
	}
	must(t, UnmountBelow(filepath.Dir(target)))
	if points, err := Below(filepath.Dir(target)); len(points) != 0 || err != nil {
		t.Errorf("still mounted are %v, %v", points, err)
	}
	must(t, os.RemoveAll(filepath.Dir(target)))
	if _, err := os.Stat(filepath.Join(dir, "sub/file")); err != nil {
		t.Errorf("the volume has lost a file: %v", err)
	}
}

func TestLinksOfAVolumeLeadNowhereElse(t *testing.T) {
	dir, target := volume(t)
	for _, link := range []string{"../secret", filepath.Dir(dir) + "/secret", "/proc/self/cwd"} {
		must(t, os.Symlink(link, filepath.Join(dir, "link")))
		err := Part(dir, "link", target)
		if _, there := os.Stat(filepath.Join(target, "file")); there == nil {
			t.Errorf("%s leads out; the error is %v", link, err)
		}
		must(t, os.Remove(filepath.Join(dir, "link")))
	}
	if err := Part(dir, "sub/file/below", target); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
}

// A container swaps a directory and a link while it is mounted.
func TestALinkThatComesMeanwhileLeadsNowhereElse(t *testing.T) {
	dir, target := volume(t)
	must(t, os.Symlink(filepath.Dir(dir)+"/secret", filepath.Join(dir, "link")))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, dir+"/sub", unix.AT_FDCWD, dir+"/link", unix.RENAME_EXCHANGE)
			}
		}
	}()
	mounted := 0
	for deadline := time.Now().Add(10 * time.Second); mounted < 300 && time.Now().Before(deadline); {
		if err := Part(dir, "sub", target); err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(target, "file"))
		if strings.Contains(string(text), "not") {
			t.Fatal("what is not the volume's has been mounted")
		}
		if err == nil {
			mounted++
		}
	}
	close(stop)
	<-stopped
	if mounted == 0 {
		t.Error("nothing was ever mounted")
	}
}
