package apiserver_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiextensionsclient "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"dhow/apiserver/apiservertest"
)

const appliedPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"%s","image":"%s"}]}}`

func podWith(container, image string) []byte {
	return []byte(strings.Replace(strings.Replace(appliedPod, "%s", container, 1), "%s", image, 1))
}

func TestAppliedListsAreMergedByTheirKeys(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	pods, ctx := c.Client.CoreV1().Pods("default"), c.Context
	apply := func(as, container, image string, force bool) (*corev1.Pod, error) {
		return pods.Patch(ctx, "p", types.ApplyPatchType, podWith(container, image), metav1.PatchOptions{FieldManager: as, Force: &force})
	}
	if _, err := apply("one", "a", "image:1", false); err != nil {
		t.Fatal(err)
	}
	got, err := apply("two", "b", "image:1", false)
	if err != nil || len(got.Spec.Containers) != 2 {
		t.Fatalf("two managers' containers are %+v, %v", got.Spec.Containers, err)
	}
	_, err = apply("two", "a", "image:2", false)
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "one": .spec.containers[name="a"].image`) {
		t.Errorf("a conflict is told as %v", err)
	}
	got, err = apply("two", "a", "image:2", true)
	if err != nil || len(got.Spec.Containers) != 1 || got.Spec.Containers[0].Image != "image:2" {
		t.Errorf("forced: %+v, %v", got.Spec.Containers, err)
	}
	if len(got.ManagedFields) != 2 {
		t.Errorf("managed by %+v", got.ManagedFields)
	}
}

func TestStatusHasManagersOfItsOwn(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	pods, ctx := c.Client.CoreV1().Pods("default"), c.Context
	if _, err := pods.Patch(ctx, "p", types.ApplyPatchType, podWith("a", "image:1"), metav1.PatchOptions{FieldManager: "me"}); err != nil {
		t.Fatal(err)
	}
	status := []byte(`{"apiVersion":"v1","kind":"Pod","status":{"conditions":[{"type":"Ready","status":"True"}]}}`)
	got, err := pods.Patch(ctx, "p", types.ApplyPatchType, status, metav1.PatchOptions{FieldManager: "me"}, "status")
	if err != nil {
		t.Fatal(err)
	}
	var subresources []string
	for _, m := range got.ManagedFields {
		subresources = append(subresources, string(m.Operation)+" "+m.Subresource)
	}
	if strings.Join(subresources, ",") != "Apply ,Apply status" || len(got.Status.Conditions) != 1 || len(got.Spec.Containers) != 1 {
		t.Errorf("managed by %q: %+v", subresources, got)
	}
}

func TestUpdatesBeforeTheFirstApplyAreKept(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	client, ctx := c.Client.CoreV1().ConfigMaps("default"), c.Context
	if _, err := client.Create(ctx, configMap("m"), metav1.CreateOptions{FieldManager: "kubectl-create"}); err != nil {
		t.Fatal(err)
	}
	_, err := client.Patch(ctx, "m", types.ApplyPatchType, []byte(`{"apiVersion":"v1","kind":"ConfigMap","data":{"a":"2"}}`), metav1.PatchOptions{FieldManager: "me"})
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "kubectl-create" using v1: .data.a`) {
		t.Errorf("got %v", err)
	}
}

func TestDefinitionsCanBeApplied(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	client := apiextensionsclient.NewForConfigOrDie(c.Config).ApiextensionsV1().CustomResourceDefinitions()
	definition := []byte(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"sails.example.com"},
		"spec":{"group":"example.com","scope":"Namespaced","names":{"plural":"sails","kind":"Sail"},
		"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}`)
	for range 2 {
		got, err := client.Patch(c.Context, "sails.example.com", types.ApplyPatchType, definition, metav1.PatchOptions{FieldManager: "me"})
		if err != nil || got.ManagedFields[0].Operation != metav1.ManagedFieldsOperationApply {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	more := []byte(strings.Replace(string(definition), `"versions":[`, `"versions":[{"name":"v2","served":true,"storage":false,"schema":{"openAPIV3Schema":{"type":"object"}}},`, 1))
	if _, err := client.Patch(c.Context, "sails.example.com", types.ApplyPatchType, more, metav1.PatchOptions{FieldManager: "me"}); err != nil {
		t.Error(err)
	}
}

func widgets(c *apiservertest.Cluster) dynamic.ResourceInterface {
	return dynamic.NewForConfigOrDie(c.Config).Resource(schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "widgets"}).Namespace("default")
}

func widget(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Widget", "metadata": map[string]any{"name": name}, "spec": map[string]any{"size": int64(1)},
	}}
}

func TestCustomResourcesCanBeApplied(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	addWidgets(t, c)
	client, w := widgets(c), widget("one")
	apiservertest.Eventually(t, func() bool {
		_, err := client.Apply(c.Context, "one", w, metav1.ApplyOptions{FieldManager: "me"})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	})
	w.Object["spec"] = map[string]any{"size": int64(2)}
	if _, err := client.Apply(c.Context, "one", w, metav1.ApplyOptions{FieldManager: "you"}); !apierrors.IsConflict(err) {
		t.Errorf("got %v", err)
	}
	w.Object["spec"] = map[string]any{"size": "large"}
	if _, err := client.Apply(c.Context, "one", w, metav1.ApplyOptions{FieldManager: "you", Force: true}); err == nil {
		t.Error("a size that is no number")
	}
}
