package shim

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// in calls f on a thread that has its own mounts, and ends with them.
func in(t *testing.T, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := errors.Join(unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// CVE-2025-52881: what is written to the kernel must reach it.
func TestOnlyTheKernelsProcIsWrittenTo(t *testing.T) {
	fake := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(fake, "thread-self/attr"), 0o755), os.WriteFile(filepath.Join(fake, "thread-self/attr/exec"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	write := func() error {
		fd, err := openProc("thread-self/comm", unix.O_WRONLY)
		if err == nil {
			_, err = unix.Write(fd, []byte("written"))
			unix.Close(fd)
		}
		return err
	}
	for name, c := range map[string]struct {
		source, target string
		want           error
	}{
		"the kernel's":        {"/proc", "/proc", nil},
		"a directory over it": {fake, "/proc", unix.EXDEV},
		"a part of it":        {"/proc/self", "/proc", unix.EXDEV},
		"a file in it":        {filepath.Join(fake, "thread-self/attr/exec"), "/proc/thread-self/comm", unix.EXDEV},
		"another file of its": {"/proc/thread-self/sched", "/proc/thread-self/comm", unix.EXDEV},
	} {
		err := in(t, func() error {
			if err := unix.Mount(c.source, c.target, "", unix.MS_BIND, ""); err != nil {
				t.Errorf("%s: mount: %v", name, err)
			}
			return write()
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
