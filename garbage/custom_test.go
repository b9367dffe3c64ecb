package garbage

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"dhow/apiserver/apiservertest"
)

func TestCustomResourcesOwnAsSoonAsTheyAreDefined(t *testing.T) {
	c := collect(t)
	c.DefineBoats(t)
	client, err := dynamic.NewForConfig(c.Config)
	check(t, err)
	boats := client.Resource(schema.GroupVersionResource{Group: "harbour.example", Version: "v1", Resource: "boats"}).Namespace("default")
	boat := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "harbour.example/v1", "kind": "Boat", "metadata": map[string]any{"name": "dhow"}}}
	apiservertest.Eventually(t, func() bool { // served a moment after its definition
		made, err := boats.Create(t.Context(), boat, metav1.CreateOptions{})
		if err == nil {
			boat = made
		}
		return err == nil
	})
	configMap(t, c, "default", "cargo", metav1.OwnerReference{APIVersion: "harbour.example/v1", Kind: "Boat", Name: "dhow", UID: boat.GetUID()})
	root := configMap(t, c, "default", "root")
	mate := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "harbour.example/v1", "kind": "Boat", "metadata": map[string]any{"name": "mate"}}}
	mate.SetOwnerReferences([]metav1.OwnerReference{owner(root)})
	_, err = boats.Create(t.Context(), mate, metav1.CreateOptions{})
	check(t, err)

	erase(t, c, "root", metav1.DeletePropagationBackground)
	apiservertest.Eventually(t, func() bool {
		left, err := boats.List(t.Context(), metav1.ListOptions{})
		return err == nil && len(left.Items) == 1
	})
	if look(t, c, "default", "cargo") == nil {
		t.Fatal("deleted, although its owner is there")
	}
	check(t, boats.Delete(t.Context(), "dhow", metav1.DeleteOptions{}))
	awaitGone(t, c, "default", "cargo")
}
