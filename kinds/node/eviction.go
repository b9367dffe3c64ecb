package node

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
)

// TaintEviction deletes pods from nodes whose NoExecute taints they do not tolerate, or no longer.
func TaintEviction() controller.Controller {
	return controller.Controller{
		Name: "taint-eviction-controller",
		Reads: []controller.Read{
			{Object: &corev1.Pod{}, Keys: placedPod},
			{Object: &corev1.Node{}, Keys: podsOnTainted},
		},
		Writes: []controller.Write{
			{Resources: []string{"pods"}, Verbs: []string{"delete"}},
			{Resources: []string{"pods/status"}, Verbs: []string{"update"}},
		},
		New: func(env controller.Env) controller.Reconciler {
			return &taintEviction{env: env, since: map[types.NamespacedName]sighting{}}
		},
	}
}

func keyOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

// placedPod is a pod that has come to its node or left it, or tolerates other things than before.
func placedPod(_ controller.Env, obj, old runtime.Object) []types.NamespacedName {
	pod := obj.(*corev1.Pod)
	before, changed := old.(*corev1.Pod)
	if pod.Spec.NodeName == "" || changed && before.Spec.NodeName == pod.Spec.NodeName &&
		len(before.Spec.Tolerations) == len(pod.Spec.Tolerations) { // they can only be added
		return nil
	}
	return []types.NamespacedName{keyOf(pod)}
}

// podsOnTainted are the pods of a node whose evicting taints have changed.
func podsOnTainted(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
	node := obj.(*corev1.Node)
	now, then := executing(node), []corev1.Taint(nil)
	if before, changed := old.(*corev1.Node); changed {
		then = executing(before)
	}
	if apiequality.Semantic.DeepEqual(now, then) {
		return nil
	}
	pods, err := podsOn(env, node.Name)
	if err != nil {
		return nil
	}
	var keys []types.NamespacedName
	for _, pod := range pods {
		keys = append(keys, keyOf(pod))
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

// sighting is when a pod was first seen on a tainted node: taints need not say since when they are.
type sighting struct {
	uid types.UID
	at  time.Time
}

type taintEviction struct {
	env controller.Env

	mu    sync.Mutex
	since map[types.NamespacedName]sighting
}

// Reconcile implements controller.Reconciler.
func (e *taintEviction) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	core := e.env.Informers.Core().V1()
	pod, err := core.Pods().Lister().Pods(key.Namespace).Get(key.Name)
	if err != nil || pod.DeletionTimestamp != nil || pod.Spec.NodeName == "" {
		e.forget(key)
		return controller.Result{}, ignoreNotFound(err)
	}
	node, err := core.Nodes().Lister().Get(pod.Spec.NodeName)
	if err != nil {
		e.forget(key)
		return controller.Result{}, ignoreNotFound(err)
	}
	now, taints := e.env.Now(), executing(node)
	if len(taints) == 0 {
		if e.forget(key) {
			e.env.Event(pod, corev1.EventTypeNormal, "TaintManagerEviction", "Cancelling deletion of Pod "+key.String())
		}
		return controller.Result{}, nil
	}
	at, evicted := evictionTime(pod, taints, e.firstSeen(key, pod, now))
	if !evicted {
		e.forget(key)
		return controller.Result{}, nil
	}
	if left := at.Sub(now); left > 0 {
		return controller.Result{After: left}, nil
	}
	return controller.Result{}, e.evict(ctx, pod)
}

func (e *taintEviction) firstSeen(key types.NamespacedName, pod *corev1.Pod, now time.Time) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, known := e.since[key]
	if !known || s.uid != pod.UID {
		s = sighting{pod.UID, now}
		e.since[key] = s
	}
	return s.at
}

func (e *taintEviction) forget(key types.NamespacedName) (known bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, known = e.since[key]
	delete(e.since, key)
	return known
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// evictionTime is when a pod has to leave: when its shortest toleration of a taint ends, now if it does not tolerate
// one; never if it tolerates all for ever. seen stands for the time of taints that have none.
func evictionTime(pod *corev1.Pod, taints []corev1.Taint, seen time.Time) (at time.Time, evicted bool) {
	for _, taint := range taints {
		until, ends := toleratedUntil(pod, taint, seen)
		if ends && (!evicted || until.Before(at)) {
			at, evicted = until, true
		}
	}
	return at, evicted
}

func toleratedUntil(pod *corev1.Pod, taint corev1.Taint, seen time.Time) (until time.Time, ends bool) {
	since := seen
	if taint.TimeAdded != nil && taint.TimeAdded.Time.Before(seen) {
		since = taint.TimeAdded.Time
	}
	until, ends = since, true
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
	marked := disrupted(pod, e.env.Now())
	if _, err := pods.UpdateStatus(ctx, marked, metav1.UpdateOptions{}); err != nil {
		return ignoreNotFound(err)
	}
	return ignoreNotFound(pods.Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}}))
}

// disrupted is the pod with the reason why it is about to be deleted.
func disrupted(pod *corev1.Pod, now time.Time) *corev1.Pod {
	pod = pod.DeepCopy()
	because := corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByTaintManager",
		Message: "Taint manager: deleting due to NoExecute taint", LastTransitionTime: metav1.NewTime(now),
		ObservedGeneration: pod.Generation,
	}
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == because.Type {
			pod.Status.Conditions[i] = because
			return pod
		}
	}
	pod.Status.Conditions = append(pod.Status.Conditions, because)
	return pod
}
