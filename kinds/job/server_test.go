package job_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"dhow/api/check/checktest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/job"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func TestLifeOfAJob(t *testing.T) {
	c := apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), pod.Kind(pod.Config{}), job.Kind()}, nil)
	jobs := c.Client.BatchV1().Jobs("default")
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	made, err := jobs.Create(t.Context(), checktest.Object[batchv1.Job](t, `{metadata: {name: j, finalizers: [test/hold]}, spec: {suspend: true,
		template: {metadata: {labels: {app: a}}, spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}`), metav1.CreateOptions{})
	check(err)
	uid := string(made.UID)
	if made.Spec.Selector.MatchLabels[batchv1.ControllerUidLabel] != uid || made.Spec.Template.Labels["controller-uid"] != uid || made.Labels["app"] != "a" || made.Generation != 1 {
		t.Errorf("made %+v", made)
	}
	_, err = jobs.Patch(t.Context(), "j", types.MergePatchType, []byte(`{"spec":{"suspend":false,"template":{"spec":{"nodeSelector":{"a":"b"}}}}}`), metav1.PatchOptions{})
	check(err)
	_, err = jobs.Patch(t.Context(), "j", types.MergePatchType, []byte(`{"spec":{"template":{"spec":{"nodeSelector":{"a":"c"}}}}}`), metav1.PatchOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.template: Invalid value") {
		t.Errorf("moved while it runs: %v", err)
	}
	_, err = jobs.Patch(t.Context(), "j", types.MergePatchType, []byte(`{"status":{"conditions":[{"type":"Complete","status":"True"}]}}`), metav1.PatchOptions{}, "status")
	if !apierrors.IsInvalid(err) {
		t.Errorf("completed out of nothing: %v", err)
	}
	_, err = jobs.Patch(t.Context(), "j", types.MergePatchType, []byte(`{"status":{"succeeded":1,"startTime":"2026-01-01T00:00:00Z","completionTime":"2026-01-01T00:01:30Z",
		"conditions":[{"type":"SuccessCriteriaMet","status":"True"},{"type":"Complete","status":"True"}]}}`), metav1.PatchOptions{}, "status")
	check(err)
	list, err := jobs.List(t.Context(), metav1.ListOptions{FieldSelector: "status.successful=1"})
	check(err)
	if len(list.Items) != 1 {
		t.Errorf("%d are selected", len(list.Items))
	}
	body, err := c.Client.BatchV1().RESTClient().Get().Namespace("default").Resource("jobs").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Raw()
	check(err)
	var table metav1.Table
	check(json.Unmarshal(body, &table))
	row := table.Rows[0].Cells
	if got := fmt.Sprint(row[:4], row[5:]); got != "[j Complete 1/1 90s] [c i batch.kubernetes.io/controller-uid="+uid+"]" || len(row) != len(table.ColumnDefinitions) {
		t.Errorf("row %v", row)
	}
	check(jobs.Delete(t.Context(), "j", metav1.DeleteOptions{}))
	gone, err := jobs.Get(t.Context(), "j", metav1.GetOptions{})
	check(err)
	if !slices.Contains(gone.Finalizers, metav1.FinalizerOrphanDependents) {
		t.Errorf("finalizers %v", gone.Finalizers)
	}
}
