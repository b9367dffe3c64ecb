package check

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestDefaultPullPolicy(t *testing.T) {
	for image, want := range map[string]corev1.PullPolicy{
		"nginx": corev1.PullAlways, "nginx:latest": corev1.PullAlways, "r:5000/nginx": corev1.PullAlways,
		"nginx:1": corev1.PullIfNotPresent, "r:5000/nginx:1": corev1.PullIfNotPresent,
		"nginx@sha256:0": corev1.PullIfNotPresent, "nginx:latest@sha256:0": corev1.PullAlways, "": corev1.PullIfNotPresent,
	} {
		if got := DefaultPullPolicy(image); got != want {
			t.Errorf("%q: got %s, want %s", image, got, want)
		}
	}
}
