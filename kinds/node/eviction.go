package node

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
)

// TaintEviction deletes pods from nodes whose NoExecute taints they do not tolerate, or no longer.
func TaintEviction() controller.Controller {
	return controller.Controller{
		Name: "taint-eviction-controller",
		Reads: []controller.Read{
			{Object: &corev1.Pod{}, Keys: boundPod},
			{Object: &corev1.Node{}, Keys: podsOnTainted},
		},
		Writes: []controller.Write{
			{Resources: []string{"pods"}, Verbs: []string{"delete"}},
			{Resources: []string{"pods/status"}, Verbs: []string{"update"}},
		},
		New: func(env controller.Env) controller.Reconciler { return &taintEviction{env} },
	}
}

func keyOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

// boundPod is a pod that has just got its node; later changes of it change nothing here.
func boundPod(_ controller.Env, obj, old runtime.Object) []types.NamespacedName {
	pod := obj.(*corev1.Pod)
	if before, ok := old.(*corev1.Pod); pod.Spec.NodeName == "" || ok && before.Spec.NodeName != "" {
		return nil
	}
	return []types.NamespacedName{keyOf(pod)}
}

func podsOnTainted(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
	node := obj.(*corev1.Node)
	before, changed := old.(*corev1.Node)
	if len(executing(node)) == 0 || changed && len(executing(before)) == len(executing(node)) {
		return nil
	}
	pods, err := env.Informers.Core().V1().Pods().Lister().List(labels.Everything())
	if err != nil {
		return nil
	}
	var keys []types.NamespacedName
	for _, pod := range pods {
		if pod.Spec.NodeName == node.Name {
			keys = append(keys, keyOf(pod))
		}
	}
	return keys
}

func executing(node *corev1.Node) []corev1.Taint {
	var taints []corev1.Taint
	for _, t := range node.Spec.Taints {
		if t.Effect == corev1.TaintEffectNoExecute {
			taints = append(taints, t)
		}
	}
	return taints
}

type taintEviction struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (e *taintEviction) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	core := e.env.Informers.Core().V1()
	pod, err := core.Pods().Lister().Pods(key.Namespace).Get(key.Name)
	if err != nil || pod.DeletionTimestamp != nil || pod.Spec.NodeName == "" {
		return controller.Result{}, ignoreNotFound(err)
	}
	node, err := core.Nodes().Lister().Get(pod.Spec.NodeName)
	if err != nil {
		return controller.Result{}, ignoreNotFound(err)
	}
	at, evicted := evictionTime(pod, executing(node), e.env.Now())
	if !evicted {
		return controller.Result{}, nil
	}
	if left := at.Sub(e.env.Now()); left > 0 {
		return controller.Result{After: left}, nil
	}
	return controller.Result{}, e.evict(ctx, pod)
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// evictionTime is when a pod has to leave: when its shortest toleration of a taint ends, now if it does not tolerate
// one; never if it tolerates all for ever.
func evictionTime(pod *corev1.Pod, taints []corev1.Taint, now time.Time) (at time.Time, evicted bool) {
	for _, taint := range taints {
		until, ends := toleratedUntil(pod, taint, now)
		if ends && (!evicted || until.Before(at)) {
			at, evicted = until, true
		}
	}
	return at, evicted
}

func toleratedUntil(pod *corev1.Pod, taint corev1.Taint, now time.Time) (until time.Time, ends bool) {
	since := now
	if taint.TimeAdded != nil {
		since = taint.TimeAdded.Time
	}
	until, ends = now, true
	for _, t := range pod.Spec.Tolerations {
		if !tolerates(t, taint) {
			continue
		}
		if t.TolerationSeconds == nil {
			return time.Time{}, false
		}
		if end := since.Add(time.Duration(max(0, *t.TolerationSeconds)) * time.Second); end.After(until) {
			until = end
		}
	}
	return until, ends
}

// tolerates by key, value and effect; an empty key with Exists tolerates everything.
func tolerates(t corev1.Toleration, taint corev1.Taint) bool {
	if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
		return false
	}
	switch t.Operator {
	case corev1.TolerationOpExists:
		return true
	case "", corev1.TolerationOpEqual:
		return t.Key != "" && t.Value == taint.Value
	}
	return false
}

func (e *taintEviction) evict(ctx context.Context, pod *corev1.Pod) error {
	pods := e.env.Client.CoreV1().Pods(pod.Namespace)
	e.env.Event(pod, corev1.EventTypeNormal, "TaintManagerEviction", "Marking for deletion Pod "+pod.Namespace+"/"+pod.Name)
	marked := pod.DeepCopy()
	marked.Status.Conditions = append(marked.Status.Conditions, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByTaintManager",
		Message: "Taint manager: deleting due to NoExecute taint", LastTransitionTime: metav1.NewTime(e.env.Now()),
	})
	if _, err := pods.UpdateStatus(ctx, marked, metav1.UpdateOptions{}); err != nil {
		return ignoreNotFound(err)
	}
	return ignoreNotFound(pods.Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}}))
}
