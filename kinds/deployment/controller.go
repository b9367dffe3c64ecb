package deployment

import (
	"context"
	"errors"
	"slices"
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

// Controller leads a Deployment's ReplicaSets from one template to the next.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "deployment-controller",
		Reads: []controller.Read{
			{Object: &appsv1.Deployment{}},
			{Object: &appsv1.ReplicaSet{}, Keys: ownersOfSet},
			{Object: &corev1.Pod{}, Keys: recreating},
		},
		Writes: []controller.Write{
			{Group: "apps", Resources: []string{"deployments/status", "deployments/finalizers"}, Verbs: []string{"update"}},
			{Group: "apps", Resources: []string{"replicasets"}, Verbs: []string{"create", "update", "patch", "delete"}},
		},
		New: func(env controller.Env) controller.Reconciler {
			return &reconciler{
				env:   env,
				owned: owned.NewDependants[*appsv1.ReplicaSet](env.Informers.Apps().V1().ReplicaSets().Informer()),
				pods:  owned.NewDependants[*corev1.Pod](env.Informers.Core().V1().Pods().Informer()),
			}
		},
	}
}

var kind = appsv1.SchemeGroupVersion.WithKind("Deployment")

// ownersOfSet is the Deployment that a ReplicaSet belongs to, and did before; of an orphan that is new or has new
// labels, those that would have it.
func ownersOfSet(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
	rs := obj.(*appsv1.ReplicaSet)
	before, changed := old.(*appsv1.ReplicaSet)
	if !changed {
		return ownersOf(env, rs)
	}
	if !owned.Moved(before, rs) {
		return nil
	}
	keys := ownersOf(env, rs)
	if metav1.GetControllerOfNoCopy(before) != nil && !apiequality.Semantic.DeepEqual(before.OwnerReferences, rs.OwnerReferences) {
		keys = append(keys, ownersOf(env, before)...)
	}
	return keys
}

func ownersOf(env controller.Env, rs *appsv1.ReplicaSet) []types.NamespacedName {
	if ref := metav1.GetControllerOfNoCopy(rs); ref != nil {
		if ref.Kind != kind.Kind {
			return nil
		}
		return []types.NamespacedName{{Namespace: rs.Namespace, Name: ref.Name}}
	}
	all, err := env.Informers.Apps().V1().Deployments().Lister().Deployments(rs.Namespace).List(labels.Everything())
	if err != nil {
		return nil
	}
	var keys []types.NamespacedName
	for _, d := range all {
		selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
		if err == nil && !selector.Empty() && selector.Matches(labels.Set(rs.Labels)) {
			keys = append(keys, owned.Key(d))
		}
	}
	return keys
}

// recreating is the Deployment of a pod that waits for its old pods to end before it makes new ones.
func recreating(env controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	pod := obj.(*corev1.Pod)
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil || ref.Kind != "ReplicaSet" {
		return nil
	}
	apps := env.Informers.Apps().V1()
	rs, err := apps.ReplicaSets().Lister().ReplicaSets(pod.Namespace).Get(ref.Name)
	if err != nil {
		return nil
	}
	owner := metav1.GetControllerOfNoCopy(rs)
	if owner == nil {
		return nil
	}
	d, err := apps.Deployments().Lister().Deployments(pod.Namespace).Get(owner.Name)
	if err != nil || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		return nil
	}
	return []types.NamespacedName{owned.Key(d)}
}

type reconciler struct {
	env   controller.Env
	owned *owned.Dependants[*appsv1.ReplicaSet]
	pods  *owned.Dependants[*corev1.Pod]
}

// Reconcile implements controller.Reconciler.
func (r *reconciler) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	d, err := r.env.Informers.Apps().V1().Deployments().Lister().Deployments(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	d = d.DeepCopy()
	sets, err := r.sets(ctx, d)
	if err != nil {
		return controller.Result{}, err
	}
	o := newRollout(d, sets, r.env.Now())
	if d.DeletionTimestamp == nil {
		err = r.advance(ctx, o)
	}
	after, failed := r.report(ctx, o)
	return controller.Result{After: after}, errors.Join(err, failed)
}

// sets are the Deployment's own, copies, the oldest first.
func (r *reconciler) sets(ctx context.Context, d *appsv1.Deployment) ([]*appsv1.ReplicaSet, error) {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil || selector.Empty() {
		return nil, err
	}
	all, err := r.owned.Claimable(d)
	if err != nil {
		return nil, err
	}
	claim := owned.Claim[*appsv1.ReplicaSet]{
		Owner: d, Kind: kind, Selector: selector,
		Live: func(ctx context.Context) (metav1.Object, error) {
			return r.env.Client.AppsV1().Deployments(d.Namespace).Get(ctx, d.Name, metav1.GetOptions{})
		},
		Patch: func(ctx context.Context, name string, patch []byte) error {
			_, err := r.env.Client.AppsV1().ReplicaSets(d.Namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
			return err
		},
	}
	mine, err := claim.Owned(ctx, all)
	for i := range mine {
		mine[i] = mine[i].DeepCopy()
	}
	slices.SortFunc(mine, byAge)
	return mine, err
}

// advance takes the rollout as far as it may go now.
func (r *reconciler) advance(ctx context.Context, o *rollout) error {
	if o.d.Spec.Paused || o.resized() {
		if err := r.syncNew(ctx, o, false); err != nil {
			return err
		}
		if err := r.resize(ctx, o, o.proportional()); err != nil || !o.d.Spec.Paused {
			return err
		}
		return r.cleanUp(ctx, o)
	}
	if o.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return r.recreate(ctx, o)
	}
	if err := r.syncNew(ctx, o, true); err != nil {
		return err
	}
	if err := r.resize(ctx, o, o.up()); err != nil {
		return err
	}
	if err := r.resize(ctx, o, o.down()); err != nil {
		return err
	}
	return r.cleanUpAfter(ctx, o)
}

// recreate ends all old pods before it makes new ones.
func (r *reconciler) recreate(ctx context.Context, o *rollout) error {
	if err := r.syncNew(ctx, o, false); err != nil {
		return err
	}
	if err := r.resize(ctx, o, o.noneOld()); err != nil {
		return err
	}
	left, err := r.oldPods(o)
	if err != nil || left {
		return err
	}
	if err := r.syncNew(ctx, o, true); err != nil {
		return err
	}
	if err := r.resize(ctx, o, sizes{o.current.Name: o.replicas()}); err != nil {
		return err
	}
	return r.cleanUpAfter(ctx, o)
}

// oldPods says whether a pod of an old set has not ended yet, or the set does not know yet.
func (r *reconciler) oldPods(o *rollout) (bool, error) {
	for _, rs := range o.old() {
		if rs.Status.Replicas > 0 {
			return true, nil
		}
		pods, err := r.pods.Of(rs.UID)
		if err != nil {
			return false, err
		}
		for _, p := range pods {
			if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
				return true, nil
			}
		}
	}
	return false, nil
}

// report writes the status, and with it the revision, which kubectl reads, if either differs. after is when the
// progress deadline is to be looked at.
func (r *reconciler) report(ctx context.Context, o *rollout) (after time.Duration, err error) {
	status, after := o.status()
	revision := o.d.Annotations[revisionAnnotation]
	if o.current != nil && revisionOf(o.current) > 0 {
		revision = o.current.Annotations[revisionAnnotation]
	}
	if apiequality.Semantic.DeepEqual(status, o.d.Status) && revision == o.d.Annotations[revisionAnnotation] {
		return after, nil
	}
	o.d.Status = status
	if revision != "" {
		metav1.SetMetaDataAnnotation(&o.d.ObjectMeta, revisionAnnotation, revision)
	}
	_, err = r.env.Client.AppsV1().Deployments(o.d.Namespace).UpdateStatus(ctx, o.d, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	return after, err
}
