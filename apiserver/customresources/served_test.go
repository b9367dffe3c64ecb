package customresources_test

import (
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/apiserver/apiservertest"
)

const sized = `{type: object, properties: {size: {type: integer}}}`

// The library waits for two seconds before it makes the first object of a new kind, always, and has its first readers come
// back after one; neither is so here. A busy machine may take as long now and then.
func TestCustomResourcesAreServedAtOnce(t *testing.T) {
	w := start(t)
	const waits = 2 * time.Second
	best := time.Hour
	for n := 0; n < 10 && best >= waits; n++ {
		began := time.Now()
		w.useOnce(t, fmt.Sprint("once", n))
		best = min(best, time.Since(began))
	}
	if best >= waits {
		t.Errorf("a new kind is served after %v at the earliest", best)
	}
}

// useOnce defines things, makes one and lists it.
func (w *world) useOnce(t *testing.T, name string) {
	t.Helper()
	if _, err := w.define(t, name, sized); err != nil {
		t.Fatal(err)
	}
	client := w.things(name, "v1")
	apiservertest.Eventually(t, func() bool {
		_, err := client.Create(t.Context(), thing(t, name, `{size: 1}`), metav1.CreateOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	})
	list, err := client.List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Errorf("listed %v, %v", list, err)
	}
	apiservertest.Eventually(t, func() bool { // another watch tells discovery
		_, err := w.Client.Discovery().ServerResourcesForGroupVersion(name + ".example.com/v1")
		if err != nil && !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	})
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
