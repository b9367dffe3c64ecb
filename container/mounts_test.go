package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// mounted is a directory with a tmpfs on it, shared with its peers as most machines' mounts are.
func mounted(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	check(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	check(t, unix.Mount("", dir, "", unix.MS_SHARED, ""))
	return dir
}

func TestMountsPropagateAsTheyAreAskedTo(t *testing.T) {
	for propagation, want := range map[cri.MountPropagation]struct{ in, out bool }{
		cri.MountPropagation_PROPAGATION_PRIVATE:           {false, false},
		cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER: {true, false},
		cri.MountPropagation_PROPAGATION_BIDIRECTIONAL:     {true, true},
	} {
		r := newRig(t)
		dir := mounted(t)
		check(t, os.MkdirAll(filepath.Join(dir, "in"), 0o755))
		check(t, os.MkdirAll(filepath.Join(dir, "out"), 0o755))
		config := command("sleep", "1000")
		config.Linux.SecurityContext.Privileged = true
		config.Mounts = []*cri.Mount{{HostPath: dir, ContainerPath: "/mnt", Propagation: propagation}}
		id := r.launch(config)
		check(t, unix.Mount("tmpfs", filepath.Join(dir, "in"), "tmpfs", 0, "size=1m"))
		t.Cleanup(func() { _ = unix.Unmount(filepath.Join(dir, "in"), unix.MNT_DETACH) })
		if got := strings.Contains(r.exec(id, "cat /proc/mounts"), " /mnt/in "); got != want.in {
			t.Errorf("%v: the machine's mount is seen inside: %v", propagation, got)
		}
		r.exec(id, "mount -t tmpfs x /mnt/out")
		mounts, err := os.ReadFile("/proc/mounts")
		check(t, err)
		if got := strings.Contains(string(mounts), " "+filepath.Join(dir, "out")+" "); got != want.out {
			t.Errorf("%v: the container's mount is seen outside: %v", propagation, got)
		}
		_ = unix.Unmount(filepath.Join(dir, "out"), unix.MNT_DETACH) // where it came out
	}
}

func TestReadOnlyMountsCanBeSoRecursively(t *testing.T) {
	dir := mounted(t)
	below := filepath.Join(dir, "below")
	check(t, os.Mkdir(below, 0o755))
	check(t, unix.Mount("tmpfs", below, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { _ = unix.Unmount(below, unix.MNT_DETACH) })
	for recursive, want := range map[bool]string{false: "below", true: "none"} {
		r := newRig(t)
		config := sh("(: > /mnt/x) 2>/dev/null && echo top; (: > /mnt/below/x) 2>/dev/null && echo below || echo none")
		config.Mounts = []*cri.Mount{{HostPath: dir, ContainerPath: "/mnt", Readonly: true, RecursiveReadOnly: recursive}}
		if out, _ := r.result(config); out != want {
			t.Errorf("recursively %v: it can write %s", recursive, out)
		}
	}
}
