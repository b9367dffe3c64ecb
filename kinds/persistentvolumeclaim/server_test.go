package persistentvolumeclaim_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"dhow/api/check/checktest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller/controllertest"
	"dhow/kinds/csi"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/persistentvolume"
	"dhow/kinds/persistentvolumeclaim"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
	"dhow/kinds/storageclass"
)

// start serves all kinds of storage, with the admission and the controllers that protect them.
func start(t *testing.T) kubernetes.Interface {
	t.Helper()
	kinds := append(csi.Kinds(), namespace.Kind(), node.Kind(node.Config{}), pod.Kind(pod.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), persistentvolume.Kind(), persistentvolumeclaim.Kind(), storageclass.Kind())
	c := apiservertest.Start(t, kinds, func(c *apiserver.Config) {
		c.Admission = func(_ kubernetes.Interface, f informers.SharedInformerFactory) ([]admission.Interface, error) {
			return []admission.Interface{storageclass.Admission(f), persistentvolumeclaim.InUseProtection(), storageclass.Resize(f)}, nil
		}
	})
	controllertest.Run(t, controllertest.On{Client: c.Client, Informers: c.Informers},
		persistentvolumeclaim.Protection(), persistentvolume.Protection(), csi.Protection())
	return c.Client
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

const claimText = `{metadata: {name: c}, spec: {storageClassName: "", accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`

func createClaim(t *testing.T, client kubernetes.Interface, changes ...string) *corev1.PersistentVolumeClaim {
	t.Helper()
	c := checktest.Object[corev1.PersistentVolumeClaim](t, claimText, changes...)
	return must(client.CoreV1().PersistentVolumeClaims("default").Create(t.Context(), c, metav1.CreateOptions{}))(t)
}

// awaitUnused waits for what a claim says of its use.
func awaitUnused(t *testing.T, client kubernetes.Interface, want corev1.ConditionStatus) {
	t.Helper()
	apiservertest.Eventually(t, func() bool {
		c, err := client.CoreV1().PersistentVolumeClaims("default").Get(t.Context(), "c", metav1.GetOptions{})
		return err == nil && slices.ContainsFunc(c.Status.Conditions, func(c corev1.PersistentVolumeClaimCondition) bool {
			return c.Type == corev1.PersistentVolumeClaimUnused && c.Status == want
		})
	})
}

// awaitGone waits until get finds nothing.
func awaitGone[T any](t *testing.T, get func(context.Context, string, metav1.GetOptions) (T, error), name string) {
	t.Helper()
	apiservertest.Eventually(t, func() bool {
		_, err := get(t.Context(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func TestAClaimStaysUntilItsPodIsGone(t *testing.T) {
	client := start(t)
	claims, pods := client.CoreV1().PersistentVolumeClaims("default"), client.CoreV1().Pods("default")
	made := createClaim(t, client)
	if !slices.Equal(made.Finalizers, []string{"kubernetes.io/pvc-protection"}) || made.Status.Phase != corev1.ClaimPending || made.Generation != 0 {
		t.Errorf("finalizers %q, phase %q, generation %d", made.Finalizers, made.Status.Phase, made.Generation)
	}
	awaitUnused(t, client, corev1.ConditionTrue)
	p := checktest.Object[corev1.Pod](t, `{metadata: {name: p}, spec: {nodeName: n1, containers: [{name: c, image: i}], volumes: [{name: data, persistentVolumeClaim: {claimName: c}}]}}`)
	must(pods.Create(t.Context(), p, metav1.CreateOptions{}))(t)
	awaitUnused(t, client, corev1.ConditionFalse)

	if err := claims.Delete(t.Context(), "c", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	// another claim that goes shows that the controller has been here
	createClaim(t, client, `{metadata: {name: d}}`)
	if err := claims.Delete(t.Context(), "d", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, claims.Get, "d")
	if c := must(claims.Get(t.Context(), "c", metav1.GetOptions{}))(t); c.DeletionTimestamp == nil {
		t.Error("it is not being deleted")
	}
	none := int64(0)
	if err := pods.Delete(t.Context(), "p", metav1.DeleteOptions{GracePeriodSeconds: &none}); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, claims.Get, "c")
}

func TestABoundVolumeStaysUntilItIsReleased(t *testing.T) {
	client := start(t)
	volumes := client.CoreV1().PersistentVolumes()
	v := checktest.Object[corev1.PersistentVolume](t, `{metadata: {name: v}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], csi: {driver: d, volumeHandle: h}}}`)
	v = must(volumes.Create(t.Context(), v, metav1.CreateOptions{}))(t)
	if !slices.Equal(v.Finalizers, []string{"kubernetes.io/pv-protection"}) || v.Status.Phase != corev1.VolumePending || v.Status.LastPhaseTransitionTime == nil {
		t.Errorf("finalizers %q, status %+v", v.Finalizers, v.Status)
	}
	setPhase := func(phase corev1.PersistentVolumePhase) {
		v := must(volumes.Get(t.Context(), "v", metav1.GetOptions{}))(t)
		v.Status.Phase = phase
		must(volumes.UpdateStatus(t.Context(), v, metav1.UpdateOptions{}))(t)
	}
	setPhase(corev1.VolumeBound)
	if err := volumes.Delete(t.Context(), "v", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if v := must(volumes.Get(t.Context(), "v", metav1.GetOptions{}))(t); v.DeletionTimestamp == nil {
		t.Error("it is not being deleted")
	}
	setPhase(corev1.VolumeReleased)
	awaitGone(t, volumes.Get, "v")
}

func TestStatusIsWrittenThroughItsOwnEndpoint(t *testing.T) {
	client := start(t)
	claims := client.CoreV1().PersistentVolumeClaims("default")
	createClaim(t, client)
	patch := []byte(`{"metadata": {"labels": {"a": "b"}}, "spec": {"volumeName": "x"}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}}`)
	c := must(claims.Patch(t.Context(), "c", types.MergePatchType, patch, metav1.PatchOptions{}, "status"))(t)
	if c.Status.Phase != corev1.ClaimBound || c.Spec.VolumeName != "" || c.Labels["a"] != "b" {
		t.Errorf("after a write to the status: %+v", c)
	}
	c = must(claims.Patch(t.Context(), "c", types.MergePatchType, []byte(`{"status": {"phase": "Lost"}, "spec": {"volumeName": "v"}}`), metav1.PatchOptions{}))(t)
	if c.Status.Phase != corev1.ClaimBound || c.Spec.VolumeName != "v" {
		t.Errorf("after a write to the claim: %+v", c)
	}
	// bound, it grows only where its class allows it
	_, err := claims.Patch(t.Context(), "c", types.MergePatchType, []byte(`{"spec": {"resources": {"requests": {"storage": "2Gi"}}}}`), metav1.PatchOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("it grows: %v", err)
	}
	if list := must(claims.List(t.Context(), metav1.ListOptions{FieldSelector: "name=c,metadata.namespace=default"}))(t); len(list.Items) != 1 {
		t.Errorf("%d claims by their name", len(list.Items))
	}
}

func TestColumnsOfClaims(t *testing.T) {
	client := start(t)
	createClaim(t, client)
	err := retry.RetryOnConflict(wait.Backoff{Steps: 1000, Duration: time.Millisecond}, func() error { // the controller writes, too
		c := must(client.CoreV1().PersistentVolumeClaims("default").Get(t.Context(), "c", metav1.GetOptions{}))(t)
		c.Spec.VolumeName = "v"
		_, err := client.CoreV1().PersistentVolumeClaims("default").Update(t.Context(), c, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	patch := []byte(`{"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}}`)
	must(client.CoreV1().PersistentVolumeClaims("default").Patch(t.Context(), "c", types.MergePatchType, patch, metav1.PatchOptions{}, "status"))(t)
	names, cells := table(t, client, "/api/v1/namespaces/default/persistentvolumeclaims")
	if want := []string{"Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age", "VolumeMode"}; !slices.Equal(names, want) {
		t.Errorf("columns %q", names)
	}
	cells[7] = "" // its age
	if want := []any{"c", "Bound", "v", "1Gi", "RWO,ROX", "", "<unset>", "", "Filesystem"}; !slices.Equal(cells, want) {
		t.Errorf("cells %q", cells)
	}
}

// table reads the columns of a list and the cells of its first row.
func table(t *testing.T, client kubernetes.Interface, path string) (names []string, cells []any) {
	t.Helper()
	data := must(client.CoreV1().RESTClient().Get().AbsPath(path).SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context()))(t)
	var got metav1.Table
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for _, c := range got.ColumnDefinitions {
		names = append(names, c.Name)
	}
	return names, got.Rows[0].Cells
}
