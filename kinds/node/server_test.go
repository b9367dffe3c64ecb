package node_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"

	"dhow/apiserver"
	"dhow/apiserver/apiservertest"
	"dhow/controller"
	"dhow/controller/controllertest"
	"dhow/kinds/lease"
	"dhow/kinds/namespace"
	"dhow/kinds/node"
	"dhow/kinds/pod"
	"dhow/kinds/secret"
	"dhow/kinds/serviceaccount"
)

// clock runs ahead of time as far as it is told.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) forward(by time.Duration) { c.ahead.Add(int64(by)) }

// world is a server with controllers of nodes.
type world struct {
	*apiservertest.Cluster
	t     *testing.T
	clock clock
}

func newWorld(t *testing.T, controllers ...controller.Controller) *world {
	t.Helper()
	w := &world{t: t, Cluster: apiservertest.Start(t, []apiserver.Kind{
		namespace.Kind(), node.Kind(node.Config{}), pod.Kind(pod.Config{}), lease.Kind(),
		secret.Kind(), serviceaccount.Kind(serviceaccount.Config{}),
	}, nil)}
	controllertest.Run(t, controllertest.On{Client: w.Client, Informers: w.Informers, Now: w.clock.now}, controllers...)
	return w
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// addNode registers a node as an agent does: tainted by admission elsewhere, silent so far.
func (w *world) addNode(name string, taints ...corev1.Taint) {
	w.t.Helper()
	_, err := w.Client.CoreV1().Nodes().Create(w.t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{Taints: taints},
	}, metav1.CreateOptions{})
	w.check(err)
}

func (w *world) node(name string) *corev1.Node {
	w.t.Helper()
	n, err := w.Client.CoreV1().Nodes().Get(w.t.Context(), name, metav1.GetOptions{})
	w.check(err)
	return n
}

// say posts a node's readiness.
func (w *world) say(name string, ready corev1.ConditionStatus) {
	w.t.Helper()
	w.check(retry.RetryOnConflict(wait.Backoff{Steps: 1000, Duration: time.Millisecond}, func() error { // the controllers write, too
		n := w.node(name)
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, LastHeartbeatTime: metav1.NewTime(w.clock.now())}}
		_, err := w.Client.CoreV1().Nodes().UpdateStatus(w.t.Context(), n, metav1.UpdateOptions{})
		return err
	}))
}

// beat renews a node's Lease.
func (w *world) beat(name string) {
	w.t.Helper()
	leases := w.Client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	now := metav1.NewMicroTime(w.clock.now())
	have, err := leases.Get(w.t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(w.t.Context(), &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{RenewTime: &now},
		}, metav1.CreateOptions{})
		w.check(err)
		return
	}
	w.check(err)
	have.Spec.RenewTime = &now
	_, err = leases.Update(w.t.Context(), have, metav1.UpdateOptions{})
	w.check(err)
}

func (w *world) addPod(name, onNode string, tolerations ...corev1.Toleration) {
	w.t.Helper()
	pods := w.Client.CoreV1().Pods("default")
	p, err := pods.Create(w.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{NodeName: onNode, Tolerations: tolerations, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}, metav1.CreateOptions{})
	w.check(err)
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
	_, err = pods.UpdateStatus(w.t.Context(), p, metav1.UpdateOptions{})
	w.check(err)
}

func (w *world) pod(name string) *corev1.Pod {
	w.t.Helper()
	p, err := w.Client.CoreV1().Pods("default").Get(w.t.Context(), name, metav1.GetOptions{})
	w.check(err)
	return p
}

func hasTaint(n *corev1.Node, key string, effect corev1.TaintEffect) bool {
	for _, t := range n.Spec.Taints {
		if t.Key == key && t.Effect == effect {
			return true
		}
	}
	return false
}

func TestNodesGetPodNetworksOfTheirOwn(t *testing.T) {
	w := newWorld(t, node.IPAM([]netip.Prefix{netip.MustParsePrefix("10.42.0.0/16"), netip.MustParsePrefix("fd42::/56")}))
	seen := map[string]bool{}
	for _, name := range []string{"a", "b", "c"} {
		w.addNode(name)
	}
	for _, name := range []string{"a", "b", "c"} {
		apiservertest.Eventually(t, func() bool { return len(w.node(name).Spec.PodCIDRs) == 2 })
		n := w.node(name)
		if n.Spec.PodCIDR != n.Spec.PodCIDRs[0] || seen[n.Spec.PodCIDR] || netip.MustParsePrefix(n.Spec.PodCIDRs[1]).Bits() != 64 {
			t.Errorf("node %s has %v", name, n.Spec.PodCIDRs)
		}
		seen[n.Spec.PodCIDR] = true
	}
}

func TestReadyNodeLosesItsTaintAtOnce(t *testing.T) {
	w := newWorld(t, node.Lifecycle())
	w.addNode("a", corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})
	w.beat("a")
	began := time.Now()
	w.say("a", corev1.ConditionTrue)
	apiservertest.Eventually(t, func() bool { return len(w.node("a").Spec.Taints) == 0 })
	took := time.Since(began)
	t.Logf("schedulable after %s", took)
	if took >= 40*time.Second { // the next look that silence calls for
		t.Errorf("schedulable only after %s", took)
	}
}

func TestSilentNodeIsLostAndComesBack(t *testing.T) {
	w := newWorld(t, node.Lifecycle())
	for _, name := range []string{"well", "silent"} {
		w.addNode(name)
		w.beat(name)
		w.say(name, corev1.ConditionTrue)
	}
	w.addPod("p", "silent")
	apiservertest.Eventually(t, func() bool { return len(w.node("silent").Spec.Taints)+len(w.node("well").Spec.Taints) == 0 })

	w.clock.forward(30 * time.Second)
	w.beat("well")
	apiservertest.Eventually(t, func() bool { // its beat has been heard
		l, err := w.Informers.Coordination().V1().Leases().Lister().Leases(corev1.NamespaceNodeLease).Get("well")
		return err == nil && l.Spec.RenewTime.After(time.Now().Add(20*time.Second))
	})
	w.clock.forward(21 * time.Second)
	apiservertest.Eventually(t, func() bool {
		w.nudge("silent")
		n := w.node("silent")
		return hasTaint(n, corev1.TaintNodeUnreachable, corev1.TaintEffectNoSchedule) && hasTaint(n, corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute)
	})
	if c := w.node("silent").Status.Conditions[0]; c.Status != corev1.ConditionUnknown || c.Reason != "NodeStatusUnknown" || c.Message != "Kubelet stopped posting node status." {
		t.Errorf("condition %+v", c)
	}
	apiservertest.Eventually(t, func() bool {
		for _, c := range w.pod("p").Status.Conditions {
			if c.Type == corev1.PodReady {
				return c.Status == corev1.ConditionFalse
			}
		}
		return false
	})
	if n := w.node("well"); len(n.Spec.Taints) > 0 || n.Status.Conditions[0].Status != corev1.ConditionTrue {
		t.Errorf("the other one: %+v %+v", n.Spec.Taints, n.Status.Conditions)
	}

	w.beat("silent")
	w.say("silent", corev1.ConditionTrue)
	apiservertest.Eventually(t, func() bool { return len(w.node("silent").Spec.Taints) == 0 })
}

// nudge makes controllers look at a node; the clock that runs ahead does not wake them.
func (w *world) nudge(name string) {
	w.t.Helper()
	patch := []byte(`{"metadata":{"annotations":{"looked":"` + time.Now().String() + `"}}}`)
	_, err := w.Client.CoreV1().Nodes().Patch(w.t.Context(), name, "application/merge-patch+json", patch, metav1.PatchOptions{})
	w.check(err)
}

func TestOnlyNodeKeepsItsPodsWhenLost(t *testing.T) {
	w := newWorld(t, node.Lifecycle(), node.TaintEviction())
	w.addNode("a")
	w.beat("a")
	w.say("a", corev1.ConditionTrue)
	w.addPod("p", "a")
	apiservertest.Eventually(t, func() bool { return len(w.node("a").Spec.Taints) == 0 })
	w.say("a", corev1.ConditionFalse)
	apiservertest.Eventually(t, func() bool { return hasTaint(w.node("a"), corev1.TaintNodeNotReady, corev1.TaintEffectNoSchedule) })
	if hasTaint(w.node("a"), corev1.TaintNodeNotReady, corev1.TaintEffectNoExecute) || w.pod("p").DeletionTimestamp != nil {
		t.Error("its pods are evicted")
	}
}

func TestTaintEvictsWhatDoesNotTolerateIt(t *testing.T) {
	w := newWorld(t, node.TaintEviction())
	w.addNode("a")
	long := int64(3600)
	w.addPod("plain", "a")
	w.addPod("patient", "a", corev1.Toleration{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &long})
	w.addTaint("a", "k")
	apiservertest.Eventually(t, func() bool { return w.pod("plain").DeletionTimestamp != nil })
	because := w.pod("plain").Status.Conditions
	if last := because[len(because)-1]; last.Type != corev1.DisruptionTarget || last.Reason != "DeletionByTaintManager" {
		t.Errorf("condition %+v", last)
	}
	if w.pod("patient").DeletionTimestamp != nil {
		t.Error("a pod went that tolerates the taint for an hour")
	}
	w.clock.forward(time.Hour)
	w.addTaint("a", "another")
	apiservertest.Eventually(t, func() bool { return w.pod("patient").DeletionTimestamp != nil })
}

func (w *world) addTaint(name, key string) {
	w.t.Helper()
	n := w.node(name)
	n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoExecute})
	_, err := w.Client.CoreV1().Nodes().Update(w.t.Context(), n, metav1.UpdateOptions{})
	w.check(err)
}
