package podtemplate_test

import (
	"encoding/json"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"dhow/api/check/checktest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/podtemplate"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func TestLifeOfAPodTemplate(t *testing.T) {
	c := apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), pod.Kind(pod.Config{}), podtemplate.Kind()}, nil)
	templates := c.Client.CoreV1().PodTemplates("default")
	made, err := templates.Create(t.Context(), checktest.Object[corev1.PodTemplate](t,
		`{metadata: {name: t}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: c, image: i}]}}}`), metav1.CreateOptions{})
	if err != nil || made.Generation != 1 || made.Template.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		t.Fatalf("made %+v, %v", made, err)
	}
	for _, change := range []struct {
		patch string
		want  int64
	}{{`{"metadata":{"labels":{"x":"y"}}}`, 1}, {`{"template":{"metadata":{"labels":{"app":"b"}}}}`, 2}} {
		now, err := templates.Patch(t.Context(), "t", types.MergePatchType, []byte(change.patch), metav1.PatchOptions{})
		if err != nil || now.Generation != change.want {
			t.Errorf("%s: generation %d, %v", change.patch, now.Generation, err)
		}
	}
	_, err = templates.Patch(t.Context(), "t", types.MergePatchType, []byte(`{"template":{"spec":{"containers":[]}}}`), metav1.PatchOptions{})
	if !apierrors.IsInvalid(err) {
		t.Errorf("without containers: %v", err)
	}
	body, err := c.Client.CoreV1().RESTClient().Get().Namespace("default").Resource("podtemplates").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var table metav1.Table
	if err := json.Unmarshal(body, &table); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(table.Rows[0].Cells); got != "[t c i app=b]" {
		t.Errorf("row %s", got)
	}
}
