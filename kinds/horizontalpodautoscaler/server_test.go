package horizontalpodautoscaler_test

import (
	"encoding/json"
	"fmt"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"dhow/api/check/checktest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/horizontalpodautoscaler"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

func TestBothVersionsShowTheSameObject(t *testing.T) {
	c := apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), pod.Kind(pod.Config{}), horizontalpodautoscaler.Kind()}, nil)
	v1, v2 := c.Client.AutoscalingV1().HorizontalPodAutoscalers("default"), c.Client.AutoscalingV2().HorizontalPodAutoscalers("default")
	made, err := v1.Create(t.Context(), checktest.Object[autoscalingv1.HorizontalPodAutoscaler](t,
		`{metadata: {name: a}, spec: {maxReplicas: 5, targetCPUUtilizationPercentage: 30, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}}}`), metav1.CreateOptions{})
	if err != nil || made.Generation != 1 || *made.Spec.MinReplicas != 1 {
		t.Fatalf("made %+v, %v", made, err)
	}
	_, err = v2.Patch(t.Context(), "a", types.JSONPatchType,
		[]byte(`[{"op":"add","path":"/spec/metrics/-","value":{"type":"External","external":{"metric":{"name":"q"},"target":{"type":"Value","value":"9"}}}}]`), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	old, err := v1.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec":{"maxReplicas":7}}`), metav1.PatchOptions{})
	if err != nil || *old.Spec.TargetCPUUtilizationPercentage != 30 {
		t.Fatalf("as v1: %+v, %v", old, err)
	}
	now, err := v2.Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || len(now.Spec.Metrics) != 2 || now.Spec.MaxReplicas != 7 || len(now.Annotations) != 0 || now.Generation != 3 {
		t.Errorf("as v2: %+v, %v", now, err)
	}
	body, err := c.Client.AutoscalingV1().RESTClient().Get().Namespace("default").Resource("horizontalpodautoscalers").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Raw()
	if err != nil {
		t.Fatal(err)
	}
	var table metav1.Table
	if err := json.Unmarshal(body, &table); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(table.Rows[0].Cells[:6]); got != "[a Deployment/d <unknown>/9, cpu: <unknown>/30% 1 7 0]" {
		t.Errorf("row %s", got)
	}
}
