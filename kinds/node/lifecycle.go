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

// silence is how long a node may not be heard of before it counts as lost (upstream's node-monitor-grace-period).
const silence = 50 * time.Second

// lookEvery is how often a node's sign of life is looked at.
const lookEvery = 10 * time.Second

// Lifecycle follows nodes by their Leases: it says which are lost, taints nodes by their conditions, and marks the
// pods of lost nodes as not ready.
func Lifecycle() controller.Controller {
	return controller.Controller{
		Name: "node-controller",
		Reads: []controller.Read{
			{Object: &corev1.Node{}},
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

func nodeOfLease(_ controller.Env, obj, old runtime.Object) []types.NamespacedName {
	lease := obj.(*coordinationv1.Lease)
	if lease.Namespace != corev1.NamespaceNodeLease {
		return nil
	}
	if old != nil { // a beat is noted when the node is next due
		return nil
	}
	return []types.NamespacedName{{Name: lease.Name}}
}

// heartbeat is the last sign of life and when it was seen here, so that clocks need not agree.
type heartbeat struct {
	sign string
	seen time.Time
}

type lifecycle struct {
	env controller.Env

	mu    sync.Mutex
	heard map[string]heartbeat
}

// Reconcile implements controller.Reconciler.
func (l *lifecycle) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	node, err := l.env.Informers.Core().V1().Nodes().Lister().Get(key.Name)
	if apierrors.IsNotFound(err) {
		l.forget(key.Name)
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	now := l.env.Now()
	left := l.lastHeard(node, now).Add(silence).Sub(now)
	want := node
	if left <= 0 {
		want = lost(node, now)
	}
	want, err = l.writeStatus(ctx, node, want)
	if err != nil {
		return controller.Result{}, err
	}
	if err := l.writeTaints(ctx, want, now); err != nil {
		return controller.Result{}, err
	}
	if !isReady(want) {
		err = l.unreadyPods(ctx, key.Name)
	}
	return controller.Result{After: lookEvery}, err
}

func (l *lifecycle) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.heard, name)
}

// lastHeard is when the node's newest sign of life was seen: its Lease, or its status.
func (l *lifecycle) lastHeard(node *corev1.Node, now time.Time) time.Time {
	sign := ""
	lease, err := l.env.Informers.Coordination().V1().Leases().Lister().Leases(corev1.NamespaceNodeLease).Get(node.Name)
	if err == nil && lease.Spec.RenewTime != nil {
		sign = lease.Spec.RenewTime.String()
	}
	if i := condition(node, corev1.NodeReady); i >= 0 && node.Status.Conditions[i].Reason != unknownReason {
		sign += node.Status.Conditions[i].LastHeartbeatTime.String()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if h, known := l.heard[node.Name]; !known || h.sign != sign {
		l.heard[node.Name] = heartbeat{sign, now}
	}
	return l.heard[node.Name].seen
}

const (
	unknownReason = "NodeStatusUnknown"
	neverReason   = "NodeStatusNeverUpdated"
)

// lost says of a node that nothing is known of it any more.
func lost(node *corev1.Node, now time.Time) *corev1.Node {
	node = node.DeepCopy()
	for _, kind := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
		i := condition(node, kind)
		if i < 0 {
			node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{
				Type: kind, Status: corev1.ConditionUnknown, Reason: neverReason, Message: "Kubelet never posted node status.",
				LastHeartbeatTime: node.CreationTimestamp, LastTransitionTime: metav1.NewTime(now),
			})
			continue
		}
		if c := &node.Status.Conditions[i]; c.Status != corev1.ConditionUnknown {
			c.Status, c.Reason, c.Message = corev1.ConditionUnknown, unknownReason, "Kubelet stopped posting node status."
			c.LastTransitionTime = metav1.NewTime(now)
		}
	}
	return node
}

func condition(node *corev1.Node, kind corev1.NodeConditionType) int {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == kind {
			return i
		}
	}
	return -1
}

func isReady(node *corev1.Node) bool {
	i := condition(node, corev1.NodeReady)
	return i >= 0 && node.Status.Conditions[i].Status == corev1.ConditionTrue
}

func (l *lifecycle) writeStatus(ctx context.Context, have, want *corev1.Node) (*corev1.Node, error) {
	if apiequality.Semantic.DeepEqual(have.Status, want.Status) {
		return have, nil
	}
	l.env.Event(want, corev1.EventTypeNormal, "NodeNotReady", "Node "+want.Name+" status is now: NodeNotReady")
	return l.env.Client.CoreV1().Nodes().UpdateStatus(ctx, want, metav1.UpdateOptions{})
}

func (l *lifecycle) writeTaints(ctx context.Context, node *corev1.Node, now time.Time) error {
	taints := taintsFor(node, now)
	if apiequality.Semantic.DeepEqual(taints, node.Spec.Taints) {
		return nil
	}
	node = node.DeepCopy()
	node.Spec.Taints = taints
	_, err := l.env.Client.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{})
	return err
}

// unreadyPods takes the pods of a node that is not ready out of service.
func (l *lifecycle) unreadyPods(ctx context.Context, name string) error {
	pods, err := l.env.Informers.Core().V1().Pods().Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	for _, pod := range pods {
		if pod.Spec.NodeName != name {
			continue
		}
		unready, changed := unreadyPod(pod, l.env.Now())
		if !changed {
			continue
		}
		_, err := l.env.Client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, unready, metav1.UpdateOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func unreadyPod(pod *corev1.Pod, now time.Time) (*corev1.Pod, bool) {
	for i := range pod.Status.Conditions {
		if c := pod.Status.Conditions[i]; c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			pod = pod.DeepCopy()
			pod.Status.Conditions[i].Status, pod.Status.Conditions[i].Reason = corev1.ConditionFalse, "NodeNotReady"
			pod.Status.Conditions[i].LastTransitionTime = metav1.NewTime(now)
			return pod, true
		}
	}
	return pod, false
}
