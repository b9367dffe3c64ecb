package replicaset

import (
	"cmp"
	"context"
	"errors"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/api/table"
	"dhow/controller"
	"dhow/controller/owned"
)

// Controller keeps the number of a ReplicaSet's pods.
func Controller() controller.Controller {
	flight := owned.NewFlight[*corev1.Pod]()
	return controller.Controller{
		Name: "replicaset-controller",
		Reads: []controller.Read{
			{Object: &appsv1.ReplicaSet{}},
			{Object: &corev1.Pod{}, Keys: func(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
				noteEnd(env, flight, obj.(*corev1.Pod), old != nil)
				return ownersOfPod(env, obj, old)
			}},
		},
		Writes: []controller.Write{
			{Group: "apps", Resources: []string{"replicasets/status"}, Verbs: []string{"update"}},
			{Group: "apps", Resources: []string{"replicasets/finalizers"}, Verbs: []string{"update"}},
			{Resources: []string{"pods"}, Verbs: []string{"create", "delete", "patch"}},
		},
		Workers: 8,
		New: func(env controller.Env) controller.Reconciler {
			return &reconciler{
				env: env, flight: flight,
				pods: owned.NewDependants[*corev1.Pod](env.Informers.Core().V1().Pods().Informer()),
				sets: owned.NewDependants[*appsv1.ReplicaSet](env.Informers.Apps().V1().ReplicaSets().Informer()),
			}
		},
	}
}

// noteEnd tells the flight of a pod that the cache has no more.
func noteEnd(env controller.Env, flight *owned.Flight[*corev1.Pod], pod *corev1.Pod, changed bool) {
	ref := metav1.GetControllerOfNoCopy(pod)
	if changed || ref == nil || ref.Kind != kind.Kind {
		return
	}
	cached, err := env.Informers.Core().V1().Pods().Lister().Pods(pod.Namespace).Get(pod.Name)
	if apierrors.IsNotFound(err) || err == nil && cached.UID != pod.UID {
		flight.Ended(types.NamespacedName{Namespace: pod.Namespace, Name: ref.Name}, pod.UID, env.Now())
	}
}

var kind = appsv1.SchemeGroupVersion.WithKind("ReplicaSet")

// ownersOfPod is the ReplicaSet that a pod belongs to, and did before; of an orphan that is new or has new labels, those
// that would have it.
func ownersOfPod(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
	pod := obj.(*corev1.Pod)
	before, changed := old.(*corev1.Pod)
	if !changed {
		return ownersOf(env, pod)
	}
	if !owned.Moved(before, pod) {
		return nil
	}
	keys := ownersOf(env, pod)
	if metav1.GetControllerOfNoCopy(before) != nil && !apiequality.Semantic.DeepEqual(before.OwnerReferences, pod.OwnerReferences) {
		keys = append(keys, ownersOf(env, before)...)
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
	pods   *owned.Dependants[*corev1.Pod]
	sets   *owned.Dependants[*appsv1.ReplicaSet]
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
	shown, err := r.claim(ctx, rs)
	if err != nil {
		return controller.Result{}, err
	}
	now := r.env.Now()
	r.flight.Owner(rs)
	pods, late := r.flight.See(key, shown, now)
	var failed error
	if rs.DeletionTimestamp == nil {
		related, err := r.related(rs, pods)
		if err != nil {
			return controller.Result{}, err
		}
		failed = r.apply(ctx, rs, plan(rs, pods, related, now))
		pods, late = r.flight.See(key, shown, now) // with what has just been made and without what has just been deleted
	}
	status, after := statusOf(rs, pods, failed, now)
	if late && after == 0 {
		after = owned.Lag
	}
	return controller.Result{After: after}, errors.Join(failed, r.writeStatus(ctx, rs, status))
}

// claim returns the set's own pods, after adoption and release.
func (r *reconciler) claim(ctx context.Context, rs *appsv1.ReplicaSet) ([]*corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
	if err != nil {
		return nil, err
	}
	all, err := r.pods.Claimable(rs)
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
	mine, err := claim.Owned(ctx, activeOf(all))
	for _, p := range all {
		if isTerminating(p) && metav1.IsControlledBy(p, rs) && selector.Matches(labels.Set(p.Labels)) {
			mine = append(mine, p)
		}
	}
	return mine, err
}

// related are the pods beside which some of too many are doubled up: those of all sets with the same owner.
func (r *reconciler) related(rs *appsv1.ReplicaSet, pods []*corev1.Pod) ([]*corev1.Pod, error) {
	owner := metav1.GetControllerOfNoCopy(rs)
	if owner == nil || len(activeOf(pods)) <= int(table.Value(rs.Spec.Replicas)) {
		return pods, nil
	}
	siblings, err := r.sets.Of(owner.UID)
	if err != nil {
		return nil, err
	}
	var all []*corev1.Pod
	for _, s := range siblings {
		more, err := r.pods.Of(s.UID)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// apply makes pods, ever more at once as long as that goes well, or deletes some.
func (r *reconciler) apply(ctx context.Context, rs *appsv1.ReplicaSet, p change) error {
	if p.create > 0 {
		return inBatches(p.create, func() error { return r.create(ctx, rs) })
	}
	return together(len(p.remove), func(i int) error { return r.remove(ctx, rs, p.remove[i]) })
}

// inBatches calls f n times, first once, then twice at a time, then four times …, and stops after a batch with an
// error: where one pod is refused, a thousand would be.
func inBatches(n int, f func() error) error {
	for size := 1; n > 0; size *= 2 {
		size = min(size, n)
		if err := together(size, func(int) error { return f() }); err != nil {
			return err
		}
		n -= size
	}
	return nil
}

// together calls f for 0 … n-1 at once. Of errors, which are likely to be one and the same, it returns the first.
func together(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() { errs[i] = f(i) })
	}
	wait.Wait()
	return cmp.Or(errs...)
}

func (r *reconciler) create(ctx context.Context, rs *appsv1.ReplicaSet) error {
	pod, err := r.env.Client.CoreV1().Pods(rs.Namespace).Create(ctx, newPod(rs), metav1.CreateOptions{})
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil // nothing can be made there any more
	}
	if err != nil {
		r.env.Event(rs, corev1.EventTypeWarning, "FailedCreate", "Error creating: "+err.Error())
		return err
	}
	r.flight.Made(owned.Key(rs), pod, r.env.Now())
	r.env.Event(rs, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: "+pod.Name)
	return nil
}

func (r *reconciler) remove(ctx context.Context, rs *appsv1.ReplicaSet, pod *corev1.Pod) error {
	err := r.env.Client.CoreV1().Pods(rs.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	gone := apierrors.IsNotFound(err) || apierrors.IsConflict(err)
	if err != nil && !gone {
		r.env.Event(rs, corev1.EventTypeWarning, "FailedDelete", "Error deleting: "+err.Error())
		return err
	}
	r.flight.Deleted(owned.Key(rs), pod.UID, r.env.Now())
	if !gone {
		r.env.Event(rs, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: "+pod.Name)
	}
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
