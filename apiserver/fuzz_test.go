package apiserver_test

import (
	"net/url"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"dhow/apiserver/apiservertest"
)

// However a list is asked for, the server does not take the mistake for its own.
func FuzzListOptions(f *testing.F) {
	c := apiservertest.Start(f, bare(), nil)
	rest := c.Client.CoreV1().RESTClient()
	for _, seed := range [][4]string{
		{"limit=1&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0", "a=b", "metadata.name=a", "0"},
		{"resourceVersionMatch=Exact", "a in (b,c),!d", "metadata.name!=a", "1"}, {"timeoutSeconds=1", "a", "=", "x"},
		{"continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiLi4vIn0", "", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, query, labels, fields, version string) {
		values, err := url.ParseQuery(query)
		if err != nil || values.Has("watch") {
			return // no query, or one that would not end
		}
		request := rest.Get().AbsPath("/api/v1/namespaces/default/configmaps").Param("labelSelector", labels).Param("fieldSelector", fields).Param("resourceVersion", version)
		for name, all := range values {
			for _, value := range all {
				request.Param(name, value)
			}
		}
		status := 0
		err = request.Do(t.Context()).StatusCode(&status).Error()
		if status >= 500 && status != 504 { // a version that is still to come is waited for
			t.Errorf("status %d: %v", status, err)
		}
	})
}

func FuzzPatches(f *testing.F) {
	c := apiservertest.Start(f, bare(), nil)
	client := c.Client.CoreV1().Pods("default")
	if _, err := client.Patch(f.Context(), "p", types.ApplyPatchType, podWith("a", "image:1"), metav1.PatchOptions{FieldManager: "me"}); err != nil {
		f.Fatal(err)
	}
	kinds := []types.PatchType{types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType, types.ApplyYAMLPatchType}
	for _, seed := range []string{
		`[{"op":"add","path":"/metadata/labels","value":{"a":"b"}},{"op":"copy","from":"/spec","path":"/spec/containers/-"}]`,
		`{"spec":{"containers":[{"name":"a","$patch":"delete"}],"$setElementOrder/containers":[{"name":"b"}]}}`,
		`{"spec":{"containers":[{"nam}":"a"},{"name":"a"}]}}`, `{"metadata":{"labels":null},"spec":{"$retainKeys":["containers"],"containers":[]}}`,
		`{"apiVersion":"v1","kind":"Pod","metadata":{"managedFields":[{}]},"spec":{"containers":[{"name":"a"},{"name":"a"}]}}`, "a: [", "null", "[]",
	} {
		for i := range kinds {
			f.Add(i, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, kind int, patch []byte) {
		options := metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: "you"}
		request := c.Client.CoreV1().RESTClient().Patch(kinds[uint(kind)%4]).Namespace("default").Resource("pods").Name("p").
			Param("dryRun", options.DryRun[0]).Param("fieldManager", options.FieldManager).Body(patch)
		status := 0
		if err := request.Do(t.Context()).StatusCode(&status).Error(); status >= 500 || status == 0 {
			t.Errorf("status %d: %v", status, err)
		}
	})
}
