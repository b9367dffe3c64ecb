package csi_test

import (
	"encoding/json"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

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
)

func start(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	kinds := append(csi.Kinds(), namespace.Kind(), node.Kind(node.Config{}), pod.Kind(pod.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), persistentvolume.Kind(), persistentvolumeclaim.Kind())
	return apiservertest.Start(t, kinds, func(c *apiserver.Config) {
		c.Admission = func(kubernetes.Interface, informers.SharedInformerFactory) ([]admission.Interface, error) {
			return []admission.Interface{persistentvolumeclaim.InUseProtection()}, nil
		}
	})
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

func TestAttributesClassesStayWhileTheyAreNamed(t *testing.T) {
	c := start(t)
	controllertest.Run(t, controllertest.On{Client: c.Client, Informers: c.Informers}, csi.Protection())
	classes, volumes := c.Client.StorageV1().VolumeAttributesClasses(), c.Client.CoreV1().PersistentVolumes()
	for _, name := range []string{"used", "unused"} {
		class := &storagev1.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: name}, DriverName: "d", Parameters: map[string]string{"a": "b"}}
		class = must(classes.Create(t.Context(), class, metav1.CreateOptions{}))(t)
		if !slices.Equal(class.Finalizers, []string{"kubernetes.io/vac-protection"}) {
			t.Errorf("finalizers %q", class.Finalizers)
		}
	}
	v := checktest.Object[corev1.PersistentVolume](t, `{metadata: {name: v}, spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce],
		volumeAttributesClassName: used, csi: {driver: d, volumeHandle: h}}}`)
	must(volumes.Create(t.Context(), v, metav1.CreateOptions{}))(t)
	apiservertest.Eventually(t, func() bool {
		_, err := c.Informers.Core().V1().PersistentVolumes().Lister().Get("v")
		return err == nil
	})
	for _, name := range []string{"used", "unused"} {
		if err := classes.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(name string) func() bool {
		return func() bool {
			_, err := classes.Get(t.Context(), name, metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		}
	}
	apiservertest.Eventually(t, gone("unused"))
	must(classes.Get(t.Context(), "used", metav1.GetOptions{}))(t)
	must(volumes.Patch(t.Context(), "v", types.MergePatchType, []byte(`{"spec": {"volumeAttributesClassName": "other"}}`), metav1.PatchOptions{}))(t)
	apiservertest.Eventually(t, gone("used"))
}

func TestStatusOfAnAttachment(t *testing.T) {
	attachments := start(t).Client.StorageV1().VolumeAttachments()
	a := checktest.Object[storagev1.VolumeAttachment](t, `{metadata: {name: a}, spec: {attacher: d, nodeName: n1, source: {persistentVolumeName: v}}, status: {attached: true}}`)
	a = must(attachments.Create(t.Context(), a, metav1.CreateOptions{}))(t)
	if a.Status.Attached || a.Generation != 0 {
		t.Errorf("made with status %+v and generation %d", a.Status, a.Generation)
	}
	patch := []byte(`{"metadata": {"labels": {"a": "b"}}, "spec": {"nodeName": "m"}, "status": {"attached": true, "attachmentMetadata": {"device": "/dev/x"}}}`)
	a = must(attachments.Patch(t.Context(), "a", types.MergePatchType, patch, metav1.PatchOptions{}, "status"))(t)
	if !a.Status.Attached || a.Status.AttachmentMetadata["device"] != "/dev/x" || a.Spec.NodeName != "n1" || len(a.Labels) > 0 {
		t.Errorf("after a write to the status: %+v", a)
	}
	_, err := attachments.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec": {"nodeName": "m"}}`), metav1.PatchOptions{})
	if !apierrors.IsInvalid(err) {
		t.Errorf("it moves: %v", err)
	}
	a.ResourceVersion = ""
	if _, err = attachments.Update(t.Context(), a, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("updated without a version: %v", err)
	}
}

func TestADriversGenerationCountsItsChanges(t *testing.T) {
	drivers := start(t).Client.StorageV1().CSIDrivers()
	d := must(drivers.Create(t.Context(), &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "d"}}, metav1.CreateOptions{}))(t)
	if d.Generation != 0 || d.Spec.PreventPodSchedulingIfMissing == nil || !*d.Spec.AttachRequired {
		t.Errorf("made: %+v", d)
	}
	d = must(drivers.Patch(t.Context(), "d", types.MergePatchType, []byte(`{"metadata": {"labels": {"a": "b"}}}`), metav1.PatchOptions{}))(t)
	if d.Generation != 0 {
		t.Errorf("generation %d after a label", d.Generation)
	}
	d = must(drivers.Patch(t.Context(), "d", types.MergePatchType, []byte(`{"spec": {"podInfoOnMount": true}}`), metav1.PatchOptions{}))(t)
	if d.Generation != 1 {
		t.Errorf("generation %d after a change", d.Generation)
	}
}

func TestColumnsOfDriversObjects(t *testing.T) {
	c := start(t)
	storage := c.Client.StorageV1()
	must(storage.CSIDrivers().Create(t.Context(), &storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{}))(t)
	must(storage.CSINodes().Create(t.Context(), &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: "x"}}, metav1.CreateOptions{}))(t)
	must(storage.CSIStorageCapacities("default").Create(t.Context(), &storagev1.CSIStorageCapacity{ObjectMeta: metav1.ObjectMeta{Name: "x"}, StorageClassName: "s"}, metav1.CreateOptions{}))(t)
	must(storage.VolumeAttachments().Create(t.Context(), checktest.Object[storagev1.VolumeAttachment](t, `{metadata: {name: x}, spec: {attacher: d, nodeName: n1, source: {persistentVolumeName: v}}}`), metav1.CreateOptions{}))(t)
	must(storage.VolumeAttributesClasses().Create(t.Context(), &storagev1.VolumeAttributesClass{ObjectMeta: metav1.ObjectMeta{Name: "x"}, DriverName: "d", Parameters: map[string]string{"a": "b"}}, metav1.CreateOptions{}))(t)
	for resource, want := range map[string][]string{
		"csidrivers":              {"Name", "AttachRequired", "PodInfoOnMount", "StorageCapacity", "TokenRequests", "RequiresRepublish", "Modes", "Age"},
		"csinodes":                {"Name", "Drivers", "Age"},
		"csistoragecapacities":    {"Name", "StorageClassName", "Capacity"},
		"volumeattachments":       {"Name", "Attacher", "PV", "Node", "Attached", "Age"},
		"volumeattributesclasses": {"Name", "DriverName", "Age"},
	} {
		data := must(storage.RESTClient().Get().AbsPath("/apis/storage.k8s.io/v1/"+resource).
			SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context()))(t)
		var table metav1.Table
		if err := json.Unmarshal(data, &table); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range table.ColumnDefinitions {
			got = append(got, c.Name)
		}
		if !slices.Equal(got, want) || len(table.Rows) != 1 || len(table.Rows[0].Cells) != len(want) || table.Rows[0].Cells[0] != "x" {
			t.Errorf("%s: columns %q, rows %+v", resource, got, table.Rows)
		}
	}
}
