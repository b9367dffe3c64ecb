package customresources_test

import (
	"context"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/apiserver/apiservertest"
)

const sized = `{type: object, properties: {size: {type: integer}}}`

// The library waits for two seconds before it makes the first object of a new kind, and has its first readers come
// back after one; neither is so here.
func TestCustomResourcesAreServedAtOnce(t *testing.T) {
	w := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 1900*time.Millisecond)
	defer cancel()
	if _, err := w.define(t, "once", sized); err != nil {
		t.Fatal(err)
	}
	client := w.things("once", "v1")
	apiservertest.Eventually(t, func() bool {
		_, err := client.Create(ctx, thing(t, "once", `{size: 1}`), metav1.CreateOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	})
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("listed %v, %v", list, err)
	}
	if _, err := w.Client.Discovery().ServerResourcesForGroupVersion("once.example.com/v1"); err != nil {
		t.Error(err)
	}
}

func TestCustomGroupsComeBehindAllOthersInDiscovery(t *testing.T) {
	w := start(t)
	w.serve(t, "last", sized)
	apiservertest.Eventually(t, func() bool {
		list := &metav1.APIGroupList{}
		err := w.Client.Discovery().RESTClient().Get().AbsPath("/apis").SetHeader("Accept", "application/json").Do(t.Context()).Into(list)
		if err != nil {
			t.Fatal(err)
		}
		last := list.Groups[len(list.Groups)-1]
		return last.Name == "last.example.com" && last.PreferredVersion.Version == "v1"
	})
}
