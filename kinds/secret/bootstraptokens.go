package secret

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	bootstrapsecrets "k8s.io/cluster-bootstrap/util/secrets"

	"dhow/controller"
)

// TokenCleaner removes bootstrap tokens when their time is over.
func TokenCleaner() controller.Controller {
	return controller.Controller{
		Name:    "token-cleaner",
		Reads:   []controller.Read{{Object: &corev1.Secret{}, Keys: ifBootstrapToken}},
		Writes:  []controller.Write{{Resources: []string{"secrets"}, Verbs: []string{"delete"}}},
		Workers: 1,
		New:     func(env controller.Env) controller.Reconciler { return cleaner{env} },
	}
}

func ifBootstrapToken(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	s := obj.(*corev1.Secret)
	if s.Namespace != metav1.NamespaceSystem || s.Type != bootstrapapi.SecretTypeBootstrapToken {
		return nil
	}
	return []types.NamespacedName{{Namespace: s.Namespace, Name: s.Name}}
}

type cleaner struct{ env controller.Env }

// Reconcile implements controller.Reconciler.
func (c cleaner) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	s, err := c.env.Informers.Core().V1().Secrets().Lister().Secrets(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	left, over := bootstrapsecrets.GetExpiration(s, c.env.Now())
	if !over {
		return controller.Result{After: max(left, time.Millisecond)}, nil // never zero, which would be never
	}
	err = c.env.Client.CoreV1().Secrets(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &s.UID}})
	if apierrors.IsNotFound(err) {
		return controller.Result{}, nil
	}
	return controller.Result{}, err
}
