package node

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestAppArmorIsTheContainersThenThePods(t *testing.T) {
	local := func(name string) *corev1.AppArmorProfile {
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost, LocalhostProfile: &name}
	}
	unconfined := &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
	for _, c := range []struct {
		pod, container *corev1.AppArmorProfile
		old            string
		want           *cri.SecurityProfile
	}{
		{nil, nil, "", nil},
		{local("a"), nil, "localhost/a", &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: "a"}},
		{local("a"), local("b"), "localhost/b", &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: "b"}},
		{local("a"), unconfined, "unconfined", &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}},
		{&corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}, nil, "runtime/default", &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault}},
	} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{AppArmorProfile: c.pod}}}
		s, err := (&Node{}).securityContext(pod, &corev1.Container{SecurityContext: &corev1.SecurityContext{AppArmorProfile: c.container}})
		if err != nil {
			t.Fatal(err)
		}
		if s.ApparmorProfile != c.old || s.Apparmor.GetProfileType() != c.want.GetProfileType() || s.Apparmor.GetLocalhostRef() != c.want.GetLocalhostRef() || (s.Apparmor == nil) != (c.want == nil) {
			t.Errorf("pod %v, container %v: %q, %v", c.pod, c.container, s.ApparmorProfile, s.Apparmor)
		}
	}
}
