package replicaset

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
	"dhow/controller/owned"
)

// Controller keeps the number of a ReplicaSet's pods.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "replicaset-controller",
		Reads: []controller.Read{
			{Object: &appsv1.ReplicaSet{}},
			{Object: &corev1.Pod{}, Keys: ownersOfPod},
		},
		Writes: []controller.Write{
			{Group: "apps", Resources: []string{"replicasets/status"}, Verbs: []string{"update"}},
			{Group: "apps", Resources: []string{"replicasets/finalizers"}, Verbs: []string{"update"}},
			{Resources: []string{"pods"}, Verbs: []string{"create", "delete", "patch"}},
		},
		Workers: 8,
		New: func(env controller.Env) controller.Reconciler {
			return &reconciler{env: env, flight: owned.NewFlight[*corev1.Pod]()}
		},
	}
}

var kind = appsv1.SchemeGroupVersion.WithKind("ReplicaSet")

// ownersOfPod is the ReplicaSet that a pod belongs to; of an orphan, those that would have it.
func ownersOfPod(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
	pod := obj.(*corev1.Pod)
	keys := ownersOf(env, pod)
	if before, ok := old.(*corev1.Pod); ok {
		was, is := metav1.GetControllerOfNoCopy(before), metav1.GetControllerOfNoCopy(pod)
		if was != nil && (is == nil || is.UID != was.UID) {
			keys = append(keys, ownersOf(env, before)...)
		}
	}
	return keys
}

func ownersOf(env controller.Env, pod *corev1.Pod) []types.NamespacedName {
	if ref := metav1.GetControllerOfNoCopy(pod); ref != nil {
		if ref.Kind != kind.Kind {
			return nil
		}
		return []types.NamespacedName{{Namespace: pod.Namespace, Name: ref.Name}}
	}
	sets, err := env.Informers.Apps().V1().ReplicaSets().Lister().ReplicaSets(pod.Namespace).List(labels.Everything())
	if err != nil {
		return nil
	}
	var keys []types.NamespacedName
	for _, rs := range sets {
		selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(pod.Labels)) {
			keys = append(keys, owned.Key(rs))
		}
	}
	return keys
}

type reconciler struct {
	env    controller.Env
	flight *owned.Flight[*corev1.Pod]
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	rs, err := r.env.Informers.Apps().V1().ReplicaSets().Lister().ReplicaSets(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		r.flight.Forget(key)
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	pods, err := r.pods(ctx, rs)
	if err != nil {
		return controller.Result{}, err
	}
	now := r.env.Now()
	pods, late := r.flight.See(key, pods, now)
	var failed error
	if rs.DeletionTimestamp == nil {
		failed = r.apply(ctx, rs, plan(rs, pods, now))
		pods, late = r.again(rs, pods, late)
	}
	status, after := statusOf(rs, pods, failed, now)
	if late && (after == 0 || after > owned.Lag) {
		after = owned.Lag
	}
	return controller.Result{After: after}, errors.Join(failed, r.writeStatus(ctx, rs, status))
}

// again counts what has just been made and deleted in.
func (r *reconciler) again(rs *appsv1.ReplicaSet, pods []*corev1.Pod, late bool) ([]*corev1.Pod, bool) {
	counted, more := r.flight.See(owned.Key(rs), nil, r.env.Now())
	known := map[types.UID]bool{}
	for _, p := range pods {
		known[p.UID] = true
	}
	for _, p := range counted {
		if !known[p.UID] {
			pods = append(pods, p)
		}
	}
	return pods, late || more
}

// pods are the set's own, after adoption and release.
func (r *reconciler) pods(ctx context.Context, rs *appsv1.ReplicaSet) ([]*corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
	if err != nil {
		return nil, err
	}
	all, err := r.env.Informers.Core().V1().Pods().Lister().Pods(rs.Namespace).List(labels.Everything())
	if err != nil {
		return nil, err
	}
	claim := owned.Claim[*corev1.Pod]{
		Owner: rs, Kind: kind, Selector: selector,
		Live: func(ctx context.Context) (metav1.Object, error) {
			return r.env.Client.AppsV1().ReplicaSets(rs.Namespace).Get(ctx, rs.Name, metav1.GetOptions{})
		},
		Patch: func(ctx context.Context, name string, patch []byte) error {
			_, err := r.env.Client.CoreV1().Pods(rs.Namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
			return err
		},
	}
	return claim.Owned(ctx, all)
}

// apply makes and deletes pods, ever more at once as long as that goes well.
func (r *reconciler) apply(ctx context.Context, rs *appsv1.ReplicaSet, p change) error {
	if p.create > 0 {
		return inBatches(p.create, func(int) error { return r.create(ctx, rs) })
	}
	return inBatches(len(p.remove), func(i int) error { return r.remove(ctx, rs, p.remove[i]) })
}

// inBatches calls f for 0 … n-1, first once, then twice at a time, then four times …, and stops after a batch with an
// error: where one pod is refused, a thousand would be.
func inBatches(n int, f func(i int) error) error {
	for done, size := 0, 1; done < n; size *= 2 {
		size = min(size, n-done)
		errs := make([]error, size)
		var wait sync.WaitGroup
		for i := range size {
			wait.Go(func() { errs[i] = f(done + i) })
		}
		wait.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		done += size
	}
	return nil
}

func (r *reconciler) create(ctx context.Context, rs *appsv1.ReplicaSet) error {
	pod, err := r.env.Client.CoreV1().Pods(rs.Namespace).Create(ctx, newPod(rs), metav1.CreateOptions{})
	if err != nil {
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil
		}
		r.env.Event(rs, corev1.EventTypeWarning, "FailedCreate", "Error creating: "+err.Error())
		return err
	}
	r.flight.Made(owned.Key(rs), pod, r.env.Now())
	r.env.Event(rs, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: "+pod.Name)
	return nil
}

func (r *reconciler) remove(ctx context.Context, rs *appsv1.ReplicaSet, pod *corev1.Pod) error {
	err := r.env.Client.CoreV1().Pods(rs.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		r.env.Event(rs, corev1.EventTypeWarning, "FailedDelete", fmt.Sprintf("Error deleting: %v", err))
		return err
	}
	r.flight.Deleted(owned.Key(rs), pod.UID, r.env.Now())
	r.env.Event(rs, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: "+pod.Name)
	return nil
}

// writeStatus writes what differs.
func (r *reconciler) writeStatus(ctx context.Context, rs *appsv1.ReplicaSet, status appsv1.ReplicaSetStatus) error {
	if apiequality.Semantic.DeepEqual(rs.Status, status) {
		return nil
	}
	next := *rs
	next.Status = status
	_, err := r.env.Client.AppsV1().ReplicaSets(rs.Namespace).UpdateStatus(ctx, &next, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// availableAfter is how long a ready pod must stay so before it counts as available.
func availableAfter(rs *appsv1.ReplicaSet) time.Duration {
	return time.Duration(rs.Spec.MinReadySeconds) * time.Second
}
