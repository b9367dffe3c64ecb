package container

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/internal/rootfs"
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

func TestAMountedImageIsKeptAndGivenBack(t *testing.T) {
	r := newRig(t)
	images := &countedImages{Images: r.engine.config.Images, have: map[string]bool{}}
	r.engine.config.Images = images
	config := command("sleep", "1000")
	config.Mounts = []*cri.Mount{{Image: &cri.ImageSpec{Image: "busybox"}, ContainerPath: "/image", ImageSubPath: "etc"}}
	id := r.launch(config)
	if len(images.have) != 2 {
		t.Errorf("snapshots: %v", images.have)
	}
	check(t, r.engine.RemoveContainer(t.Context(), id))
	if len(images.have) != 0 {
		t.Errorf("left: %v", images.have)
	}
	config.Mounts[0].ImageSubPath = "../etc"
	if _, err := r.engine.CreateContainer(t.Context(), r.id, config, nil); err == nil || !strings.Contains(err.Error(), "..") {
		t.Errorf("a path out of the image: %v", err)
	}
	if len(images.have) != 0 {
		t.Errorf("left after an error: %v", images.have)
	}
}

// countedImages notes the snapshots that there are.
type countedImages struct {
	Images
	have map[string]bool
}

func (i *countedImages) Snapshot(ctx context.Context, key, image string) (*rootfs.Snapshot, error) {
	i.have[key] = true
	return i.Images.Snapshot(ctx, key, image)
}

func (i *countedImages) RemoveSnapshot(ctx context.Context, key string) error {
	delete(i.have, key)
	return i.Images.RemoveSnapshot(ctx, key)
}

func TestAPodsOwnLimitsChange(t *testing.T) {
	r := newRig(t)
	r.launch(command("sleep", "1000"))
	check(t, r.engine.UpdatePodSandboxResources(t.Context(), r.id, &cri.LinuxContainerResources{MemoryLimitInBytes: 300 << 20}))
	s, err := r.engine.sandbox(r.id)
	check(t, err)
	data, err := os.ReadFile(s.Cgroup.File("memory", "memory.limit_in_bytes", "memory.max"))
	check(t, err)
	if limit := strings.TrimSpace(string(data)); limit != "314572800" {
		t.Errorf("the pod's group has a limit of %q", limit)
	}
	if err := r.engine.UpdatePodSandboxResources(t.Context(), r.id, nil); err == nil {
		t.Error("no resources are taken")
	}
	if err := r.engine.UpdatePodSandboxResources(t.Context(), "none", &cri.LinuxContainerResources{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a pod that is not there: %v", err)
	}
}

func TestAMountedImageHasTheIDsOfThePodsUsers(t *testing.T) {
	r := newRig(t)
	r.ownUsers(cri.NamespaceMode_CONTAINER)
	config := sh("stat -c %u /image /image/passwd | tr '\\n' ' '; (: > /image/x) 2>/dev/null || echo read-only")
	config.Mounts = []*cri.Mount{{Image: &cri.ImageSpec{Image: "busybox"}, ContainerPath: "/image", ImageSubPath: "etc"}}
	if out, _ := r.result(config); out != "0 0 read-only" {
		t.Errorf("it says %q", out)
	}
}
