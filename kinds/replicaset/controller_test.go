package replicaset_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/yaml"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller"
	"dhow/controller/controllertest"
	"dhow/kinds/event"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/replicaset"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

const ns = metav1.NamespaceDefault

func start(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	return apiservertest.Start(t, []apiserver.Kind{namespace.Kind(), node.Kind(node.Config{}), secret.Kind(),
		serviceaccount.Kind(serviceaccount.Config{}), pod.Kind(pod.Config{}), replicaset.Kind(), event.Kind()}, nil)
}

// control runs the controller on a server.
func control(t *testing.T) *apiservertest.Cluster {
	t.Helper()
	c := start(t)
	controllertest.Run(t, controllertest.On{Client: c.Client, Informers: c.Informers}, replicaset.Controller())
	return c
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// create makes a ReplicaSet "r" of pods with app=a.
func create(t *testing.T, c *apiservertest.Cluster, replicas int, more string) *appsv1.ReplicaSet {
	t.Helper()
	text := fmt.Sprintf(`{metadata: {name: r}, spec: {replicas: %d, %s selector: {matchLabels: {app: a}}, template: {
		metadata: {labels: {app: a}}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: c, image: i}]}}}}`, replicas, more)
	var rs appsv1.ReplicaSet
	check(t, yaml.UnmarshalStrict([]byte(text), &rs))
	made, err := c.Client.AppsV1().ReplicaSets(ns).Create(t.Context(), &rs, metav1.CreateOptions{})
	check(t, err)
	return made
}

// often is how often a write is tried that the controller's may cross.
var often = wait.Backoff{Steps: 1000, Duration: time.Millisecond}

func scale(t *testing.T, c *apiservertest.Cluster, replicas int32) *appsv1.ReplicaSet {
	t.Helper()
	var rs *appsv1.ReplicaSet
	check(t, retry.RetryOnConflict(often, func() error {
		now, err := c.Client.AppsV1().ReplicaSets(ns).Get(t.Context(), "r", metav1.GetOptions{})
		check(t, err)
		now.Spec.Replicas = &replicas
		rs, err = c.Client.AppsV1().ReplicaSets(ns).Update(t.Context(), now, metav1.UpdateOptions{})
		return err
	}))
	return rs
}

func pods(t *testing.T, c *apiservertest.Cluster) []corev1.Pod {
	t.Helper()
	list, err := c.Client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	check(t, err)
	return list.Items
}

// makeReady says that a pod has been ready since then.
func makeReady(t *testing.T, c *apiservertest.Cluster, name string, since time.Time) {
	t.Helper()
	status := `{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"` + since.UTC().Format(time.RFC3339) + `"}]}}`
	_, err := c.Client.CoreV1().Pods(ns).Patch(t.Context(), name, types.MergePatchType, []byte(status), metav1.PatchOptions{}, "status")
	check(t, err)
}

// await waits for counts: replicas, fully labelled, ready, available.
func await(t *testing.T, c *apiservertest.Cluster, want string) {
	t.Helper()
	got := ""
	t.Cleanup(func() {
		if got != want {
			t.Logf("status is %s, not %s", got, want)
		}
	})
	apiservertest.Eventually(t, func() bool {
		rs, err := c.Client.AppsV1().ReplicaSets(ns).Get(t.Context(), "r", metav1.GetOptions{})
		check(t, err)
		s := rs.Status
		got = fmt.Sprint(s.Replicas, s.FullyLabeledReplicas, s.ReadyReplicas, s.AvailableReplicas)
		return got == want && s.ObservedGeneration == rs.Generation
	})
}

func TestPodsFollowTheNumberAndTheStatusFollowsThePods(t *testing.T) {
	c := control(t)
	rs := create(t, c, 3, "")
	await(t, c, "3 3 0 0")
	all := pods(t, c)
	for _, p := range all {
		if !strings.HasPrefix(p.Name, "r-") || !metav1.IsControlledBy(&p, rs) {
			t.Errorf("pod %s of %v", p.Name, p.OwnerReferences)
		}
	}
	makeReady(t, c, all[1].Name, time.Now())
	await(t, c, "3 3 1 1")
	scale(t, c, 1)
	await(t, c, "1 1 1 1")
	if left := pods(t, c); len(left) != 1 || left[0].Name != all[1].Name {
		t.Errorf("the ready pod did not stay: %v", left)
	}
	check(t, c.Client.CoreV1().Pods(ns).Delete(t.Context(), all[1].Name, metav1.DeleteOptions{}))
	await(t, c, "1 1 0 0")
	apiservertest.Eventually(t, func() bool {
		events, err := c.Client.CoreV1().Events(ns).List(t.Context(), metav1.ListOptions{})
		check(t, err)
		count := map[string]int{}
		for _, e := range events.Items {
			count[e.Reason]++
		}
		return count["SuccessfulCreate"] == 4 && count["SuccessfulDelete"] == 2
	})
}

func TestPodIsAvailableOnceItHasBeenReadyForLongEnough(t *testing.T) {
	c := control(t)
	const seconds = 600
	create(t, c, 1, fmt.Sprintf("minReadySeconds: %d,", seconds))
	await(t, c, "1 1 0 0")
	name := pods(t, c)[0].Name
	makeReady(t, c, name, time.Now())
	await(t, c, "1 1 1 0")
	makeReady(t, c, name, time.Now().Add(2*time.Second-seconds*time.Second)) // two seconds to go, in which nothing happens
	await(t, c, "1 1 1 1")
}

func TestOrphansAreAdoptedAndPodsWithOtherLabelsAreReleased(t *testing.T) {
	c := control(t)
	orphan := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "orphan", Labels: map[string]string{"app": "a"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	_, err := c.Client.CoreV1().Pods(ns).Create(t.Context(), orphan, metav1.CreateOptions{})
	check(t, err)
	apiservertest.Eventually(t, func() bool { // else one more is made first, and either may go
		_, err := c.Informers.Core().V1().Pods().Lister().Pods(ns).Get("orphan")
		return err == nil
	})
	rs := create(t, c, 2, "")
	await(t, c, "2 2 0 0")
	if all := pods(t, c); len(all) != 2 {
		t.Errorf("%d pods", len(all))
	}
	adopted, err := c.Client.CoreV1().Pods(ns).Get(t.Context(), "orphan", metav1.GetOptions{})
	check(t, err)
	if !metav1.IsControlledBy(adopted, rs) {
		t.Errorf("owners %v", adopted.OwnerReferences)
	}
	_, err = c.Client.CoreV1().Pods(ns).Patch(t.Context(), "orphan", types.MergePatchType, []byte(`{"metadata":{"labels":{"app":"debug"}}}`), metav1.PatchOptions{})
	check(t, err)
	apiservertest.Eventually(t, func() bool {
		released, err := c.Client.CoreV1().Pods(ns).Get(t.Context(), "orphan", metav1.GetOptions{})
		check(t, err)
		return len(released.OwnerReferences) == 0 && len(pods(t, c)) == 3
	})
}

// stale runs a reconciler on caches that the test fills by hand.
func stale(c *apiservertest.Cluster) (controller.Reconciler, informers.SharedInformerFactory) {
	f := informers.NewSharedInformerFactory(c.Client, 0)
	env := controller.Env{Client: c.Client, Informers: f, Now: time.Now, Event: func(runtime.Object, string, string, string) {}}
	return replicaset.Controller().New(env), f
}

func TestSlowCachesMakeNoDuplicates(t *testing.T) {
	c := start(t)
	r, f := stale(c)
	sets, cached := f.Apps().V1().ReplicaSets().Informer().GetIndexer(), f.Core().V1().Pods().Informer().GetIndexer()
	reconcile := func(times int) {
		t.Helper()
		for range times {
			_, _ = r.Reconcile(t.Context(), types.NamespacedName{Namespace: ns, Name: "r"}) // the old status conflicts
		}
	}
	check(t, sets.Add(create(t, c, 5, "")))
	reconcile(3)
	made := pods(t, c)
	if len(made) != 5 {
		t.Fatalf("%d pods after three looks", len(made))
	}
	for i := range made {
		check(t, cached.Add(&made[i]))
	}
	check(t, sets.Update(scale(t, c, 3)))
	reconcile(1)
	for _, p := range pods(t, c) { // those that stay are now the ones to go first, and those that went are still in the cache
		p.Annotations = map[string]string{corev1.PodDeletionCost: "-1"}
		check(t, cached.Add(&p))
	}
	reconcile(3)
	if left := pods(t, c); len(left) != 3 {
		t.Errorf("%d pods after the set has shrunk", len(left))
	}
}
