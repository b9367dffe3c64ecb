package namespace_test

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"dhow/apiserver/apiservertest"
	"dhow/controller/controllertest"
	"dhow/kinds/namespace"
)

// control runs the controller on a server.
func control(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	c := start(t)
	content, err := metadata.NewForConfig(c.Server.ClientConfig("system:admin", "system:masters"))
	check(t, err)
	controllertest.Run(t, controllertest.On{Client: c.Client, Informers: c.Informers}, namespace.Controller(content))
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, c *apiservertest.Cluster, name string) {
	t.Helper()
	_, err := c.Client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	check(t, err)
}

func get(t *testing.T, c *apiservertest.Cluster, name string) *corev1.Namespace {
	t.Helper()
	n, err := c.Client.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{})
	check(t, err)
	return n
}

func erase(t *testing.T, c *apiservertest.Cluster, name string) {
	t.Helper()
	check(t, c.Client.CoreV1().Namespaces().Delete(t.Context(), name, metav1.DeleteOptions{}))
}

func awaitGone(t *testing.T, c *apiservertest.Cluster, name string) {
	t.Helper()
	apiservertest.Eventually(t, func() bool {
		_, err := c.Client.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func TestNamespaceGoesWithAllThatIsInIt(t *testing.T) {
	c := control(t)
	create(t, c, "n")
	for _, name := range []string{"a", "b"} {
		_, err := c.Client.CoreV1().ConfigMaps("n").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		check(t, err)
	}
	began := time.Now()
	erase(t, c, "n")
	awaitGone(t, c, "n")
	t.Logf("gone after %s", time.Since(began))
	create(t, c, "n")
	left, err := c.Client.CoreV1().ConfigMaps("n").List(t.Context(), metav1.ListOptions{})
	check(t, err)
	if len(left.Items) > 0 {
		t.Errorf("%d objects outlived their namespace", len(left.Items))
	}
}

func TestCustomResourcesGoWithTheirNamespace(t *testing.T) {
	c := control(t)
	c.DefineBoats(t)
	create(t, c, "n")
	client, err := dynamic.NewForConfig(c.Config)
	check(t, err)
	boats := client.Resource(schema.GroupVersionResource{Group: "harbour.example", Version: "v1", Resource: "boats"})
	boat := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "harbour.example/v1", "kind": "Boat", "metadata": map[string]any{"name": "dhow"}}}
	apiservertest.Eventually(t, func() bool { // served a moment after its definition
		_, err := boats.Namespace("n").Create(t.Context(), boat, metav1.CreateOptions{})
		return err == nil
	})
	apiservertest.Eventually(t, func() bool { // and the controller hears of it by discovery
		lists, err := c.Client.Discovery().ServerPreferredNamespacedResources()
		return err == nil && slices.ContainsFunc(lists, func(l *metav1.APIResourceList) bool { return l.GroupVersion == "harbour.example/v1" })
	})
	erase(t, c, "n")
	awaitGone(t, c, "n")
	left, err := boats.List(t.Context(), metav1.ListOptions{})
	check(t, err)
	if len(left.Items) > 0 {
		t.Errorf("%d custom objects outlived their namespace", len(left.Items))
	}
}

func TestOtherObjectsWaitForRunningPods(t *testing.T) {
	c := control(t)
	create(t, c, "n")
	_, err := c.Client.CoreV1().ConfigMaps("n").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "needed"}}, metav1.CreateOptions{})
	check(t, err)
	pods := c.Client.CoreV1().Pods("n")
	_, err = pods.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{
		NodeName: "somewhere", Containers: []corev1.Container{{Name: "c", Image: "i"}},
	}}, metav1.CreateOptions{})
	check(t, err)
	erase(t, c, "n")
	apiservertest.Eventually(t, func() bool {
		return message(get(t, c, "n"), corev1.NamespaceContentRemaining) == "Some resources are remaining: pods. has 1 resource instances"
	})
	if _, err := c.Client.CoreV1().ConfigMaps("n").Get(t.Context(), "needed", metav1.GetOptions{}); err != nil {
		t.Errorf("a pod still runs, but its ConfigMap: %v", err)
	}
	now := int64(0) // as its node does when it has ended
	check(t, pods.Delete(t.Context(), "p", metav1.DeleteOptions{GracePeriodSeconds: &now}))
	awaitGone(t, c, "n")
}

func TestConditionsNameTheFinalizersThatKeepANamespace(t *testing.T) {
	c := control(t)
	create(t, c, "n")
	maps := c.Client.CoreV1().ConfigMaps("n")
	m, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m", Finalizers: []string{"harbour.example/pilot"}}}, metav1.CreateOptions{})
	check(t, err)
	erase(t, c, "n")
	const want = "Some content in the namespace has finalizers remaining: harbour.example/pilot in 1 resource instances"
	apiservertest.Eventually(t, func() bool { return message(get(t, c, "n"), corev1.NamespaceFinalizersRemaining) == want })
	apiservertest.Eventually(t, func() bool {
		if m, err = maps.Get(t.Context(), "m", metav1.GetOptions{}); err != nil {
			return false
		}
		m.Finalizers = nil
		_, err = maps.Update(t.Context(), m, metav1.UpdateOptions{})
		return err == nil
	})
	awaitGone(t, c, "n")
}

// message of a condition that is true.
func message(n *corev1.Namespace, kind corev1.NamespaceConditionType) string {
	at := slices.IndexFunc(n.Status.Conditions, func(c corev1.NamespaceCondition) bool { return c.Type == kind })
	if at < 0 || n.Status.Conditions[at].Status != corev1.ConditionTrue {
		return ""
	}
	return n.Status.Conditions[at].Message
}
