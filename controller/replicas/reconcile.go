package replicas

import (
	"context"
	"errors"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"dhow/api/table"
	"dhow/controller"
	"dhow/controller/owned"
)

type reconciler[T Object] struct {
	source Source[T]
	env    controller.Env
	flight *owned.Flight[*corev1.Pod]
	pods   *owned.Dependants[*corev1.Pod]
	sets   *owned.Dependants[T]
}

// Reconcile implements controller.Reconciler.
func (r *reconciler[T]) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	cached, exists, err := r.source.Informer(r.env.Informers).GetIndexer().GetByKey(key.String())
	if err != nil {
		return controller.Result{}, err
	}
	if !exists {
		r.flight.Forget(key)
		return controller.Result{}, nil
	}
	object := cached.(T)
	rs := r.source.AsSet(object)
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
		failed = r.apply(ctx, object, rs, plan(rs, pods, related, now))
		pods, late = r.flight.See(key, shown, now) // with what has just been made and without what has just been deleted
	}
	status, after := statusOf(rs, pods, failed, now)
	if late && after == 0 {
		after = owned.Lag
	}
	err = r.source.WriteStatus(ctx, r.env.Client, object, status)
	if apierrors.IsNotFound(err) {
		err = nil
	}
	return controller.Result{After: after}, errors.Join(failed, err)
}

// claim returns the set's own pods, after adoption and release.
func (r *reconciler[T]) claim(ctx context.Context, rs *appsv1.ReplicaSet) ([]*corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
	if err != nil {
		return nil, err
	}
	all, err := r.pods.Claimable(rs)
	if err != nil {
		return nil, err
	}
	claim := owned.Claim[*corev1.Pod]{
		Owner: rs, Kind: r.source.Kind, Selector: selector,
		Live: func(ctx context.Context) (metav1.Object, error) {
			return r.source.Live(ctx, r.env.Client, rs.Namespace, rs.Name)
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
func (r *reconciler[T]) related(rs *appsv1.ReplicaSet, pods []*corev1.Pod) ([]*corev1.Pod, error) {
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
		more, err := r.pods.Of(s.GetUID())
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// apply makes pods, ever more at once as long as that goes well, or deletes some.
func (r *reconciler[T]) apply(ctx context.Context, object T, rs *appsv1.ReplicaSet, p change) error {
	if p.create > 0 {
		return inBatches(p.create, func() error { return r.create(ctx, object, rs) })
	}
	return together(len(p.remove), func(i int) error { return r.remove(ctx, object, p.remove[i]) })
}

func (r *reconciler[T]) create(ctx context.Context, object T, rs *appsv1.ReplicaSet) error {
	pod, err := r.env.Client.CoreV1().Pods(rs.Namespace).Create(ctx, newPod(rs, r.source.Kind), metav1.CreateOptions{})
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil // nothing can be made there any more
	}
	if err != nil {
		r.env.Event(object, corev1.EventTypeWarning, "FailedCreate", "Error creating: "+err.Error())
		return err
	}
	r.flight.Made(owned.Key(rs), pod, r.env.Now())
	r.env.Event(object, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: "+pod.Name)
	return nil
}

func (r *reconciler[T]) remove(ctx context.Context, object T, pod *corev1.Pod) error {
	err := r.env.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	gone := apierrors.IsNotFound(err) || apierrors.IsConflict(err)
	if err != nil && !gone {
		r.env.Event(object, corev1.EventTypeWarning, "FailedDelete", "Error deleting: "+err.Error())
		return err
	}
	r.flight.Deleted(owned.Key(object), pod.UID, r.env.Now())
	if !gone {
		r.env.Event(object, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: "+pod.Name)
	}
	return nil
}
