package pod_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	policyclient "k8s.io/client-go/kubernetes/typed/policy/v1"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

// start serves pods, their budgets, and what the server itself looks at.
func start(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	var cluster *apiservertest.Cluster
	budgets := apiserver.Define[*policyv1.PodDisruptionBudget, *policyv1.PodDisruptionBudgetList](policyv1.SchemeGroupVersion,
		apiserver.Names{Kind: "PodDisruptionBudget", Resource: "poddisruptionbudgets"},
		apiserver.Rules[*policyv1.PodDisruptionBudget]{HasStatus: true})
	cluster = apiservertest.Start(t, []apiserver.Kind{
		namespace.Kind(), node.Kind(node.Config{}), secret.Kind(), serviceaccount.Kind(serviceaccount.Config{}), budgets,
		pod.Kind(pod.Config{Budgets: func() policyclient.PodDisruptionBudgetsGetter { return cluster.Client.PolicyV1() }}),
	}, nil)
	return cluster
}

func newPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "a"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}}}},
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestPodLife(t *testing.T) {
	cluster := start(t)
	ctx, pods := t.Context(), cluster.Client.CoreV1().Pods("default")
	p := must(pods.Create(ctx, newPod("p"), metav1.CreateOptions{}))(t)
	if p.Status.Phase != corev1.PodPending || p.Status.QOSClass != corev1.PodQOSBurstable || p.Spec.RestartPolicy != corev1.RestartPolicyAlways || p.Generation != 1 {
		t.Errorf("created: %+v %+v", p.Spec, p.Status)
	}

	p.Spec.Containers[0].Image = "j"
	p = must(pods.Update(ctx, p, metav1.UpdateOptions{}))(t)
	if p.Generation != 2 {
		t.Errorf("generation %d after a new image", p.Generation)
	}
	wrong := p.DeepCopy()
	wrong.Spec.Hostname = "other"
	_, err := pods.Update(ctx, wrong, metav1.UpdateOptions{})
	if want := `Pod "p" is invalid: spec: Forbidden: pod updates may not change fields other than`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("forbidden update: %v", err)
	}

	bind(t, cluster, "p", "w1")
	again := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Target: corev1.ObjectReference{Name: "w2"}}
	err = pods.Bind(ctx, again, metav1.CreateOptions{})
	if want := `Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "w1"`; !apierrors.IsConflict(err) || err.Error() != want {
		t.Errorf("second binding: %v", err)
	}
	list := must(pods.List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=w1,status.phase=Pending"}))(t)
	if len(list.Items) != 1 {
		t.Errorf("%d pods selected", len(list.Items))
	}

	debug(t, cluster, "p")
	resize(t, cluster, "p")

	if err := pods.Delete(ctx, "p", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	p = must(pods.Get(ctx, "p", metav1.GetOptions{}))(t)
	if p.DeletionTimestamp == nil || *p.DeletionGracePeriodSeconds != 30 {
		t.Errorf("deleted: %+v", p.ObjectMeta)
	}
	if err := pods.Delete(ctx, "p", *metav1.NewDeleteOptions(0)); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.Get(ctx, "p", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after the node has let go: %v", err)
	}
}

func bind(t *testing.T, c *apiservertest.Cluster, name, node string) {
	t.Helper()
	err := c.Client.CoreV1().Pods("default").Bind(t.Context(),
		&corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"k": "v"}}, Target: corev1.ObjectReference{Kind: "Node", Name: node}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p := must(c.Client.CoreV1().Pods("default").Get(t.Context(), name, metav1.GetOptions{}))(t)
	if p.Spec.NodeName != node || p.Annotations["k"] != "v" {
		t.Errorf("bound: %s %v", p.Spec.NodeName, p.Annotations)
	}
}

func debug(t *testing.T, c *apiservertest.Cluster, name string) {
	t.Helper()
	pods := c.Client.CoreV1().Pods("default")
	p := must(pods.Get(t.Context(), name, metav1.GetOptions{}))(t)
	p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "d", Image: "sh"}}}
	p.Spec.Containers[0].Image = "ignored"
	p = must(pods.UpdateEphemeralContainers(t.Context(), name, p, metav1.UpdateOptions{}))(t)
	if len(p.Spec.EphemeralContainers) != 1 || p.Spec.Containers[0].Image == "ignored" {
		t.Errorf("spec %+v", p.Spec)
	}
	p.Spec.EphemeralContainers = nil
	if _, err := pods.UpdateEphemeralContainers(t.Context(), name, p, metav1.UpdateOptions{}); err == nil || !strings.Contains(err.Error(), `existing ephemeral containers "d" may not be removed`) {
		t.Errorf("removal: %v", err)
	}
}

func resize(t *testing.T, c *apiservertest.Cluster, name string) {
	t.Helper()
	patch := []byte(`{"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"2"}}}]}}`)
	p := must(c.Client.CoreV1().Pods("default").Patch(t.Context(), name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "resize"))(t)
	if cpu := p.Spec.Containers[0].Resources.Requests.Cpu(); cpu.Value() != 2 {
		t.Errorf("cpu %s", cpu)
	}
}

func TestUnscheduledPodGoesAtOnce(t *testing.T) {
	pods := start(t).Client.CoreV1().Pods("default")
	must(pods.Create(t.Context(), newPod("p"), metav1.CreateOptions{}))(t)
	if err := pods.Delete(t.Context(), "p", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := pods.Get(t.Context(), "p", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("got %v", err)
	}
}

func TestEvictionKeepsTheBudget(t *testing.T) {
	cluster := start(t)
	ctx, pods := t.Context(), cluster.Client.CoreV1().Pods("default")
	for _, name := range []string{"p", "q"} {
		p := must(pods.Create(ctx, newPod(name), metav1.CreateOptions{}))(t)
		bind(t, cluster, name, "w1")
		p = must(pods.Get(ctx, p.Name, metav1.GetOptions{}))(t)
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
		must(pods.UpdateStatus(ctx, p, metav1.UpdateOptions{}))(t)
	}
	one := intstr.FromInt32(1)
	budgets := cluster.Client.PolicyV1().PodDisruptionBudgets("default")
	b := must(budgets.Create(ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "b"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}},
	}, metav1.CreateOptions{}))(t)
	b.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: b.Generation, DisruptionsAllowed: 1, CurrentHealthy: 2, DesiredHealthy: 1, ExpectedPods: 2}
	must(budgets.UpdateStatus(ctx, b, metav1.UpdateOptions{}))(t)

	if err := evict(ctx, cluster, "p", metav1.DryRunAll); err != nil {
		t.Errorf("dry run: %v", err)
	}
	if err := evict(ctx, cluster, "p"); err != nil {
		t.Fatal(err)
	}
	p := must(pods.Get(ctx, "p", metav1.GetOptions{}))(t)
	last := p.Status.Conditions[len(p.Status.Conditions)-1]
	if p.DeletionTimestamp == nil || last.Type != corev1.DisruptionTarget || last.Reason != "EvictionByEvictionAPI" {
		t.Errorf("evicted: %v %+v", p.DeletionTimestamp, last)
	}
	b = must(budgets.Get(ctx, "b", metav1.GetOptions{}))(t)
	if _, noted := b.Status.DisruptedPods["p"]; b.Status.DisruptionsAllowed != 0 || !noted {
		t.Errorf("budget %+v", b.Status)
	}
	err := evict(ctx, cluster, "q")
	if !apierrors.IsTooManyRequests(err) || err.Error() != "Cannot evict pod as it would violate the pod's disruption budget." {
		t.Errorf("second eviction: %v", err)
	}
}

func evict(ctx context.Context, c *apiservertest.Cluster, name string, dryRun ...string) error {
	return c.Client.CoreV1().Pods("default").EvictV1(ctx, &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Name: name}, DeleteOptions: &metav1.DeleteOptions{DryRun: dryRun}})
}

func TestTable(t *testing.T) {
	cluster := start(t)
	must(cluster.Client.CoreV1().Pods("default").Create(t.Context(), newPod("p"), metav1.CreateOptions{}))(t)
	body := must(cluster.Client.CoreV1().RESTClient().Get().Namespace("default").Resource("pods").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Do(t.Context()).Raw())(t)
	var table metav1.Table
	if err := json.Unmarshal(body, &table); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(table.Rows[0].Cells); !strings.HasPrefix(got, "[p 0/1 Pending 0 ") || len(table.Rows[0].Cells) != len(table.ColumnDefinitions) {
		t.Errorf("got %s", got)
	}
}

func TestBindingsNameThePodInTheirBody(t *testing.T) {
	cluster := start(t)
	ctx, pods := t.Context(), cluster.Client.CoreV1().Pods("default")
	must(pods.Create(ctx, newPod("p"), metav1.CreateOptions{}))(t)
	post := func(name string) error {
		binding := &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: name}, Target: corev1.ObjectReference{Kind: "Node", Name: "w1"}}
		return cluster.Client.CoreV1().RESTClient().Post().Namespace("default").Resource("bindings").Body(binding).Do(ctx).Error()
	}
	if err := post("p"); err != nil {
		t.Fatal(err)
	}
	if p := must(pods.Get(ctx, "p", metav1.GetOptions{}))(t); p.Spec.NodeName != "w1" {
		t.Errorf("bound to %q", p.Spec.NodeName)
	}
	if err := post("q"); !apierrors.IsNotFound(err) {
		t.Errorf("of a pod that is not there: %v", err)
	}
}
