package node

import (
	"context"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
)

// Lifecycle follows nodes by their Leases: it says which are lost, taints nodes by their conditions, and marks the
// pods of lost nodes as not ready.
func Lifecycle() controller.Controller {
	return controller.Controller{
		Name: "node-controller",
		Reads: []controller.Read{
			{Object: &corev1.Node{}, Keys: nodesInView},
			{Object: &coordinationv1.Lease{}, Keys: nodeOfLease},
			{Object: &corev1.Pod{}, Keys: func(controller.Env, runtime.Object, runtime.Object) []types.NamespacedName { return nil }},
		},
		Writes: []controller.Write{
			{Resources: []string{"nodes"}, Verbs: []string{"update"}},
			{Resources: []string{"nodes/status", "pods/status"}, Verbs: []string{"update"}},
		},
		New: func(env controller.Env) controller.Reconciler {
			return &lifecycle{env: env, heard: map[string]heartbeat{}}
		},
	}
}

// nodesInView is the node; when it becomes ready or ceases to be, also those that are not ready, since what is done
// about them depends on how many are well.
func nodesInView(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
	node := obj.(*corev1.Node)
	keys := []types.NamespacedName{{Name: node.Name}}
	if before, ok := old.(*corev1.Node); ok && isReady(before) == isReady(node) {
		return keys
	}
	nodes, err := env.Informers.Core().V1().Nodes().Lister().List(labels.Everything())
	if err != nil {
		return keys
	}
	for _, other := range nodes {
		if other.Name != node.Name && !isReady(other) {
			keys = append(keys, types.NamespacedName{Name: other.Name})
		}
	}
	return keys
}

func nodeOfLease(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	lease := obj.(*coordinationv1.Lease)
	if lease.Namespace != corev1.NamespaceNodeLease {
		return nil
	}
	return []types.NamespacedName{{Name: lease.Name}}
}

// heartbeat is the last sign of life and when it was seen here, so that clocks need not agree.
type heartbeat struct {
	sign   string
	seen   time.Time
	marked bool // its pods have been marked since it ceased to be ready
}

type lifecycle struct {
	env controller.Env

	mu    sync.Mutex
	heard map[string]heartbeat
}

// Reconcile implements controller.Reconciler.
func (l *lifecycle) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	lister := l.env.Informers.Core().V1().Nodes().Lister()
	node, err := lister.Get(key.Name)
	if apierrors.IsNotFound(err) {
		l.forget(key.Name)
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	now := l.env.Now()
	beat := l.listen(node, now)
	left := beat.seen.Add(grace(node)).Sub(now)
	want := node
	if left <= 0 {
		want = lost(node, now)
	}
	all, err := lister.List(labels.Everything())
	if err != nil {
		return controller.Result{}, err
	}
	if err := l.write(ctx, node, want, taintsFor(want, disruptionOf(want, all), now)); err != nil {
		return controller.Result{}, err
	}
	if err := l.markPods(ctx, want, beat); err != nil {
		return controller.Result{}, err
	}
	return controller.Result{After: max(left, 0)}, nil
}

// listen notes when the node's newest sign of life was seen: its Lease, or its status.
func (l *lifecycle) listen(node *corev1.Node, now time.Time) heartbeat {
	sign := ""
	lease, err := l.env.Informers.Coordination().V1().Leases().Lister().Leases(corev1.NamespaceNodeLease).Get(node.Name)
	if err == nil && lease.Spec.RenewTime != nil {
		sign = lease.Spec.RenewTime.String()
	}
	if i := condition(node, corev1.NodeReady); i >= 0 && node.Status.Conditions[i].Status != corev1.ConditionUnknown {
		sign += node.Status.Conditions[i].LastHeartbeatTime.String()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	beat, known := l.heard[node.Name]
	if !known || beat.sign != sign {
		beat.sign, beat.seen = sign, now
		l.heard[node.Name] = beat
	}
	if !known {
		l.env.Event(node, corev1.EventTypeNormal, "RegisteredNode", "Node "+node.Name+" event: Registered Node "+node.Name+" in Controller")
	}
	return beat
}

func (l *lifecycle) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.heard, name)
}

// write changes the node from what it is to what it should be.
func (l *lifecycle) write(ctx context.Context, have, want *corev1.Node, taints []corev1.Taint) error {
	nodes := l.env.Client.CoreV1().Nodes()
	if !apiequality.Semantic.DeepEqual(have.Status, want.Status) {
		written, err := nodes.UpdateStatus(ctx, want, metav1.UpdateOptions{})
		if err != nil {
			return ignoreNotFound(err)
		}
		if isReady(have) {
			l.env.Event(have, corev1.EventTypeNormal, "NodeNotReady", "Node "+have.Name+" status is now: NodeNotReady")
		}
		want = written
	}
	if apiequality.Semantic.DeepEqual(taints, want.Spec.Taints) {
		return nil
	}
	want = want.DeepCopy()
	want.Spec.Taints = taints
	_, err := nodes.Update(ctx, want, metav1.UpdateOptions{})
	return ignoreNotFound(err)
}

// markPods takes the pods of a node out of service, once when it ceases to be ready. A node that lives puts them back.
func (l *lifecycle) markPods(ctx context.Context, node *corev1.Node, beat heartbeat) error {
	ready := isReady(node)
	if beat.marked != ready {
		return nil
	}
	if !ready {
		if err := l.unreadyPods(ctx, node.Name); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	beat = l.heard[node.Name]
	beat.marked = !ready
	l.heard[node.Name] = beat
	return nil
}

func (l *lifecycle) unreadyPods(ctx context.Context, name string) error {
	pods, err := podsOn(l.env, name)
	if err != nil {
		return err
	}
	for _, pod := range pods {
		unready, changed := unreadyPod(pod, l.env.Now())
		if !changed {
			continue
		}
		_, err := l.env.Client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, unready, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		l.env.Event(pod, corev1.EventTypeWarning, "NodeNotReady", "Node is not ready")
	}
	return nil
}

// podsOn are those bound to a node.
func podsOn(env controller.Env, node string) ([]*corev1.Pod, error) {
	all, err := env.Informers.Core().V1().Pods().Lister().List(labels.Everything())
	if err != nil {
		return nil, err
	}
	var pods []*corev1.Pod
	for _, pod := range all {
		if pod.Spec.NodeName == node {
			pods = append(pods, pod)
		}
	}
	return pods, nil
}
