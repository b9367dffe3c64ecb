package operator

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "dhow/test/clients/operator/v1"
)

const (
	// Manager is who owns the fields that the operator applies.
	Manager = "greeter"
	// Finalizer lets the operator say goodbye before a Greeting goes.
	Finalizer = "operator.example.test/goodbye"
	// Goodbye is what the ConfigMap is called that stays behind, after the Greeting's name.
	Goodbye = "-goodbye"
)

// greeter keeps a ConfigMap for each Greeting.
type greeter struct {
	client client.Client
	scheme *runtime.Scheme
}

// Reconcile reads from the cache, applies what is wanted and says so in the status.
func (r *greeter) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	greeting := &v1.Greeting{}
	if err := r.client.Get(ctx, request.NamespacedName, greeting); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !greeting.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, r.goodbye(ctx, greeting)
	}
	if controllerutil.AddFinalizer(greeting, Finalizer) {
		return ctrl.Result{}, r.client.Update(ctx, greeting)
	}
	if err := r.apply(ctx, greeting); err != nil {
		return ctrl.Result{}, err
	}
	if greeting.Status.ObservedGeneration == greeting.Generation {
		return ctrl.Result{}, nil
	}
	greeting.Status.ObservedGeneration = greeting.Generation
	return ctrl.Result{}, r.client.Status().Update(ctx, greeting)
}

func (r *greeter) apply(ctx context.Context, g *v1.Greeting) error {
	ref := owner(g)
	owned := metav1ac.OwnerReference().WithAPIVersion(ref.APIVersion).WithKind(ref.Kind).WithName(ref.Name).WithUID(ref.UID).
		WithController(true).WithBlockOwnerDeletion(true)
	wanted := corev1ac.ConfigMap(g.Name, g.Namespace).WithOwnerReferences(owned).
		WithData(map[string]string{"words": g.Spec.Words, "language": g.Spec.Language})
	return r.client.Apply(ctx, wanted, client.FieldOwner(Manager), client.ForceOwnership)
}

// goodbye leaves a ConfigMap behind and lets the Greeting go.
func (r *greeter) goodbye(ctx context.Context, g *v1.Greeting) error {
	if !controllerutil.RemoveFinalizer(g, Finalizer) {
		return nil
	}
	left := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: g.Name + Goodbye, Namespace: g.Namespace}}
	if err := r.client.Create(ctx, left); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return r.client.Update(ctx, g)
}
