package apiserver_test

import (
	"context"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"dhow/apiserver/apiservertest"
)

func widgets(c *apiservertest.Cluster) dynamic.ResourceInterface {
	return dynamic.NewForConfigOrDie(c.Config).Resource(schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "widgets"}).Namespace("default")
}

func widget(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Widget", "metadata": map[string]any{"name": name}, "spec": map[string]any{"size": int64(1)},
	}}
}

// The library waits for two seconds before it makes the first object of a new kind, and has its first readers come
// back after one; neither is so here.
func TestCustomResourcesAreServedAtOnce(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	ctx, cancel := context.WithTimeout(c.Context, 1900*time.Millisecond)
	defer cancel()
	addWidgets(t, c)
	client := widgets(c)
	apiservertest.Eventually(t, func() bool {
		_, err := client.Create(ctx, widget("one"), metav1.CreateOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	})
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("listed %v, %v", list, err)
	}
	if _, err := c.Client.Discovery().ServerResourcesForGroupVersion("example.com/v1"); err != nil {
		t.Error(err)
	}
}

func TestCustomGroupsComeBehindAllOthersInDiscovery(t *testing.T) {
	c := apiservertest.Start(t, bare(), nil)
	addWidgets(t, c)
	apiservertest.Eventually(t, func() bool {
		list := &metav1.APIGroupList{}
		err := c.Client.Discovery().RESTClient().Get().AbsPath("/apis").SetHeader("Accept", "application/json").Do(c.Context).Into(list)
		if err != nil {
			t.Fatal(err)
		}
		last := list.Groups[len(list.Groups)-1]
		return last.Name == "example.com" && last.PreferredVersion.Version == "v1"
	})
}
