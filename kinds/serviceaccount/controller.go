package serviceaccount

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
)

// defaultName is the ServiceAccount of pods that name none.
const defaultName = "default"

// Controller keeps a default ServiceAccount in every namespace. Its keys are namespaces.
func Controller() controller.Controller {
	return controller.Controller{
		Name: "service-account-controller",
		Reads: []controller.Read{
			{Object: &corev1.Namespace{}},
			{Object: &corev1.ServiceAccount{}, Keys: namespaceOfDefault},
		},
		Writes: []controller.Write{{Resources: []string{"serviceaccounts"}, Verbs: []string{"create"}}},
		New:    func(env controller.Env) controller.Reconciler { return &defaults{env} },
	}
}

func namespaceOfDefault(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	account := obj.(*corev1.ServiceAccount)
	if account.Name != defaultName {
		return nil
	}
	return []types.NamespacedName{{Name: account.Namespace}}
}

type defaults struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (d *defaults) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	core := d.env.Informers.Core().V1()
	namespace, err := core.Namespaces().Lister().Get(key.Name)
	if apierrors.IsNotFound(err) || err == nil && namespace.Status.Phase == corev1.NamespaceTerminating {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	if _, err := core.ServiceAccounts().Lister().ServiceAccounts(key.Name).Get(defaultName); err == nil {
		return controller.Result{}, nil
	}
	_, err = d.env.Client.CoreV1().ServiceAccounts(key.Name).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: defaultName}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return controller.Result{}, nil
	}
	return controller.Result{}, err
}
