package persistentvolumeclaim

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestPodsAreListedOnceForManyClaims(t *testing.T) {
	client, lists := fake.NewClientset(), 0
	var held []corev1.Pod
	version := "10"
	client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		lists++
		return true, &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: version}, Items: held}, nil
	})
	h := holders{client: client}
	ask := func(name, version string, want bool, wantLists int) {
		t.Helper()
		c := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, ResourceVersion: version}}
		if got, err := h.hold(t.Context(), c); got != want || err != nil || lists != wantLists {
			t.Errorf("%s as of %s: %t, %v after %d lists, want %d", name, version, got, err, lists, wantLists)
		}
	}
	held = []corev1.Pod{{Spec: corev1.PodSpec{NodeName: "n", Volumes: []corev1.Volume{{
		VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "held"}}}}}}}
	ask("a", "8", false, 1)
	ask("b", "10", false, 1)
	ask("held", "9", true, 2) // it may have ended
	ask("b", "11", false, 3)  // younger than the list
	held, version = nil, "12"
	ask("held", "9", false, 4)
	ask("held", "9", false, 4)
}
