package namespace

import (
	"context"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"dhow/controller"
)

// ControllerName is the name of Controller; content must be a client of controller.User(ControllerName).
const ControllerName = "namespace-controller"

// Controller empties namespaces that are being deleted and then lets them go. content lists and deletes objects of any
// kind, custom ones among them.
func Controller(content metadata.Interface) controller.Controller {
	return controller.Controller{
		Name: ControllerName,
		Reads: []controller.Read{
			{Object: &corev1.Namespace{}, Keys: endingNow},
			{Object: &corev1.Pod{}, Keys: lastPodGone},
		},
		Writes: []controller.Write{
			{Resources: []string{"namespaces/status", "namespaces/finalize"}, Verbs: []string{"update"}},
			{Group: "*", Resources: []string{"*"}, Verbs: []string{"get", "list", "delete", "deletecollection"}},
		},
		New: func(env controller.Env) controller.Reconciler {
			return &emptier{env, sweeper{discover: env.Client.Discovery().ServerPreferredNamespacedResources, content: content}}
		},
	}
}

// endingNow are namespaces whose deletion has just begun. What the controller writes to them later wakes it no more.
func endingNow(_ controller.Env, obj, old runtime.Object) []types.NamespacedName {
	n := obj.(*corev1.Namespace)
	before, changed := old.(*corev1.Namespace)
	if n.DeletionTimestamp == nil || changed && before.DeletionTimestamp != nil {
		return nil
	}
	return []types.NamespacedName{{Name: n.Name}}
}

// lastPodGone: the rest of a namespace is deleted once its pods have ended.
func lastPodGone(env controller.Env, obj, old runtime.Object) []types.NamespacedName {
	core := env.Informers.Core().V1()
	in := obj.(*corev1.Pod).Namespace
	n, err := core.Namespaces().Lister().Get(in)
	if old != nil || err != nil || n.DeletionTimestamp == nil {
		return nil
	}
	if pods, err := core.Pods().Lister().Pods(in).List(labels.Everything()); err != nil || len(pods) > 0 {
		return nil
	}
	return []types.NamespacedName{{Name: in}}
}

// emptier is the reconciler; its keys are namespaces.
type emptier struct {
	env     controller.Env
	sweeper sweeper
}

// Reconcile implements controller.Reconciler. It lets a namespace go after a pass that found nothing in it: what was
// let in just before the deletion, and not stored yet, is found by the next pass.
func (e *emptier) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	n, err := e.env.Client.CoreV1().Namespaces().Get(ctx, key.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil || n.DeletionTimestamp == nil || !slices.Contains(n.Spec.Finalizers, corev1.FinalizerKubernetes) {
		return controller.Result{}, err
	}
	found := e.sweeper.sweep(ctx, n.Name)
	if n, err = e.note(ctx, n, found); err != nil {
		return controller.Result{}, ignoreNotFound(err)
	}
	if err := found.err(); err != nil {
		return controller.Result{}, err
	}
	if found.any {
		return controller.Result{After: patience(e.env.Now().Sub(n.DeletionTimestamp.Time))}, nil
	}
	return controller.Result{}, e.finalize(ctx, n)
}

// Bounds of the time between two passes.
const shortest, longest = 50 * time.Millisecond, 15 * time.Second

// patience is how long to wait before a namespace that has been ending for age is looked at again.
func patience(age time.Duration) time.Duration { return min(max(age/4, shortest), longest) }

// note writes how far the namespace is, where a user looks.
func (e *emptier) note(ctx context.Context, n *corev1.Namespace, found content) (*corev1.Namespace, error) {
	next, changed := withConditions(n.Status.Conditions, found.conditions(), metav1.NewTime(e.env.Now()))
	if !changed && n.Status.Phase == corev1.NamespaceTerminating {
		return n, nil
	}
	n.Status.Conditions, n.Status.Phase = next, corev1.NamespaceTerminating
	return e.env.Client.CoreV1().Namespaces().UpdateStatus(ctx, n, metav1.UpdateOptions{})
}

func (e *emptier) finalize(ctx context.Context, n *corev1.Namespace) error {
	n.Spec.Finalizers = slices.DeleteFunc(n.Spec.Finalizers, func(f corev1.FinalizerName) bool { return f == corev1.FinalizerKubernetes })
	_, err := e.env.Client.CoreV1().Namespaces().Finalize(ctx, n, metav1.UpdateOptions{})
	return ignoreNotFound(err)
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
