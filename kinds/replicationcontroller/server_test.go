package replicationcontroller_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"dhow/api/check/checktest"
	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller/controllertest"
	"dhow/kinds/event"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/replicationcontroller"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

const ns = metav1.NamespaceDefault

func start(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	return apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), pod.Kind(pod.Config{}), replicationcontroller.Kind(), event.Kind()}, nil)
}

// control runs the controller on a server.
func control(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	c := start(t)
	controllertest.Run(t, controllertest.On{Client: c.Client, Informers: c.Informers}, replicationcontroller.Controller())
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// create makes a ReplicationController "r" of pods with app=a.
func create(t *testing.T, c *apiservertest.Cluster, replicas int, changes ...string) *corev1.ReplicationController {
	t.Helper()
	text := fmt.Sprintf(`{metadata: {name: r}, spec: {replicas: %d, template: {
		metadata: {labels: {app: a}}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: i}]}}}}`, replicas)
	made, err := c.Client.CoreV1().ReplicationControllers(ns).Create(t.Context(),
		checktest.Object[corev1.ReplicationController](t, text, changes...), metav1.CreateOptions{})
	check(t, err)
	return made
}

func pods(t *testing.T, c *apiservertest.Cluster) []corev1.Pod {
	t.Helper()
	list, err := c.Client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	check(t, err)
	return list.Items
}

// await waits for a count of pods in the status.
func await(t *testing.T, c *apiservertest.Cluster, replicas int32) {
	t.Helper()
	apiservertest.Eventually(t, func() bool {
		r, err := c.Client.CoreV1().ReplicationControllers(ns).Get(t.Context(), "r", metav1.GetOptions{})
		check(t, err)
		return r.Status.Replicas == replicas && r.Status.ObservedGeneration == r.Generation
	})
}

func TestPodsFollowTheScale(t *testing.T) {
	c := control(t)
	made := create(t, c, 2)
	await(t, c, 2)
	for _, p := range pods(t, c) {
		if !strings.HasPrefix(p.Name, "r-") || !metav1.IsControlledBy(&p, made) {
			t.Errorf("pod %s of %v", p.Name, p.OwnerReferences)
		}
	}
	controllers := c.Client.CoreV1().ReplicationControllers(ns)
	scale, err := controllers.GetScale(t.Context(), "r", metav1.GetOptions{})
	check(t, err)
	if scale.Spec.Replicas != 2 || scale.Status.Replicas != 2 || scale.Status.Selector != "app=a" {
		t.Errorf("scale %+v", scale)
	}
	scale.ResourceVersion, scale.Spec.Replicas = "", 1
	_, err = controllers.UpdateScale(t.Context(), "r", scale, metav1.UpdateOptions{})
	check(t, err)
	await(t, c, 1)
	if left := pods(t, c); len(left) != 1 {
		t.Errorf("%d pods are left", len(left))
	}
}

func TestOrphansAreAdoptedAndPodsWithOtherLabelsAreReleased(t *testing.T) {
	c := control(t)
	orphan := checktest.Object[corev1.Pod](t, `{metadata: {name: orphan, labels: {app: a}}, spec: {containers: [{name: c, image: i}]}}`)
	_, err := c.Client.CoreV1().Pods(ns).Create(t.Context(), orphan, metav1.CreateOptions{})
	check(t, err)
	apiservertest.Eventually(t, func() bool { // else one more is made first, and either may go
		_, err := c.Informers.Core().V1().Pods().Lister().Pods(ns).Get("orphan")
		return err == nil
	})
	made := create(t, c, 1)
	await(t, c, 1)
	apiservertest.Eventually(t, func() bool {
		adopted, err := c.Client.CoreV1().Pods(ns).Get(t.Context(), "orphan", metav1.GetOptions{})
		check(t, err)
		return metav1.IsControlledBy(adopted, made)
	})
	_, err = c.Client.CoreV1().Pods(ns).Patch(t.Context(), "orphan", types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"debug"}}}`), metav1.PatchOptions{})
	check(t, err)
	apiservertest.Eventually(t, func() bool {
		released, err := c.Client.CoreV1().Pods(ns).Get(t.Context(), "orphan", metav1.GetOptions{})
		check(t, err)
		return len(released.OwnerReferences) == 0 && len(pods(t, c)) == 2
	})
}

func TestColumnsAndSelectableFields(t *testing.T) {
	c := start(t)
	create(t, c, 3)
	_, err := c.Client.CoreV1().ReplicationControllers(ns).Patch(t.Context(), "r", types.MergePatchType,
		[]byte(`{"status":{"replicas":2,"readyReplicas":1}}`), metav1.PatchOptions{}, "status")
	check(t, err)
	list, err := c.Client.CoreV1().ReplicationControllers(ns).List(t.Context(), metav1.ListOptions{FieldSelector: "status.replicas=2"})
	check(t, err)
	if len(list.Items) != 1 {
		t.Errorf("%d are selected", len(list.Items))
	}
	body, err := c.Client.CoreV1().RESTClient().Get().Namespace(ns).Resource("replicationcontrollers").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Raw()
	check(t, err)
	var table metav1.Table
	check(t, json.Unmarshal(body, &table))
	row := table.Rows[0].Cells
	if got := fmt.Sprint(row[:4], row[5:]); got != "[r 3 2 1] [c i app=a]" || len(row) != len(table.ColumnDefinitions) {
		t.Errorf("row %v", row)
	}
}

func TestDependentsAreOrphansByDefault(t *testing.T) {
	c := start(t)
	create(t, c, 0, `{metadata: {finalizers: [test/hold]}}`)
	check(t, c.Client.CoreV1().ReplicationControllers(ns).Delete(t.Context(), "r", metav1.DeleteOptions{}))
	r, err := c.Client.CoreV1().ReplicationControllers(ns).Get(t.Context(), "r", metav1.GetOptions{})
	check(t, err)
	if !slices.Contains(r.Finalizers, metav1.FinalizerOrphanDependents) {
		t.Errorf("finalizers %v", r.Finalizers)
	}
}
