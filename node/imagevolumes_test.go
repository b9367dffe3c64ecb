package node

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// withImage is a pod that mounts a path of an image.
func withImage(name, reference string) *corev1.Pod {
	c := ctr(name)
	c.VolumeMounts = []corev1.VolumeMount{{Name: "files", MountPath: "/files", SubPath: "a/b"}}
	p := pod(name, c)
	p.Spec.Volumes = []corev1.Volume{{Name: "files", VolumeSource: corev1.VolumeSource{
		Image: &corev1.ImageVolumeSource{Reference: reference, PullPolicy: corev1.PullNever},
	}}}
	return p
}

func TestAnImageIsMountedAsAVolume(t *testing.T) {
	m := newMachine(t)
	m.images.present["data"] = true
	m.create(withImage("p", "data"))
	p := m.untilPod("p", "is ready", ready)
	var mount *cri.Mount
	for _, have := range m.runtime.Config("p").Mounts {
		if have.ContainerPath == "/files" {
			mount = have
		}
	}
	if mount.GetImage().GetImage() != "data" || mount.ImageSubPath != "a/b" || !mount.Readonly || mount.HostPath != "" {
		t.Errorf("the runtime is asked for %v", mount)
	}
	s := p.Status.ContainerStatuses[0].VolumeMounts
	if len(s) != 1 || s[0].VolumeStatus == nil || s[0].VolumeStatus.Image == nil || s[0].VolumeStatus.Image.ImageRef != "data" {
		t.Errorf("its mounts are %v", s)
	}
}

func TestAVolumesImageThatIsNotHereIsTold(t *testing.T) {
	m := newMachine(t)
	m.create(withImage("p", "nowhere"))
	m.untilPod("p", "waits for its volume's image", waitingFor(reasonImageNever))
	if m.runtime.Config("p") != nil {
		t.Error("the container was made")
	}
}
