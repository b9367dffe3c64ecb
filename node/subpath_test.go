package node

import (
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"dhow/internal/mounts"
)

// A container that has the whole volume may change it while another gets a part of it: what the runtime is asked to mount
// must not be a path in the volume.
func TestAPartOfAVolumeIsMountedBeforeTheRuntimeSeesIt(t *testing.T) {
	m := newMachine(t)
	volume := t.TempDir()
	if err := os.WriteFile(filepath.Join(volume, "file"), []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := ctr("p")
	c.VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/file", SubPath: "file"}, {Name: "data", MountPath: "/logs", SubPathExpr: "logs/of"}}
	p := pod("p", c)
	p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: volume}}}}
	m.create(p)
	m.untilPod("p", "is ready", ready)
	parts := filepath.Join(m.dir, "pods", string(p.UID), "volume-subpaths")
	t.Cleanup(func() { _ = mounts.UnmountBelow(parts) })
	for _, mount := range m.runtime.Config("p").Mounts {
		if want := map[string]string{"/file": "data/p/0", "/logs": "data/p/1"}[mount.ContainerPath]; want != "" && mount.HostPath != filepath.Join(parts, want) {
			t.Errorf("%s is mounted from %s", mount.ContainerPath, mount.HostPath)
		}
	}
	if text, err := os.ReadFile(filepath.Join(parts, "data/p/0")); string(text) != "kept" {
		t.Errorf("the part is %q, %v", text, err)
	}
	m.delete("p", 0)
	m.until("the pod's files are gone", func() bool { _, err := os.Stat(filepath.Dir(parts)); return os.IsNotExist(err) })
	if points, err := mounts.Below(m.dir); len(points) != 0 || err != nil {
		t.Errorf("left mounted: %v, %v", points, err)
	}
	for _, name := range []string{"file", "logs/of"} {
		if _, err := os.Stat(filepath.Join(volume, name)); err != nil {
			t.Errorf("the volume: %v", err)
		}
	}
}
