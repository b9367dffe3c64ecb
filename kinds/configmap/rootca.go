package configmap

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"dhow/controller"
)

// rootCAName is the ConfigMap by which pods know the API server.
const rootCAName = "kube-root-ca.crt"

// RootCA keeps the cluster's certificate authority (PEM) in every namespace. Its keys are namespaces.
func RootCA(pem []byte) controller.Controller {
	return controller.Controller{
		Name: "root-ca-certificate-publisher",
		Reads: []controller.Read{
			{Object: &corev1.Namespace{}},
			{Object: &corev1.ConfigMap{}, Keys: namespaceOfRootCA},
		},
		Writes: []controller.Write{{Resources: []string{"configmaps"}, Verbs: []string{"create", "update"}}},
		New:    func(env controller.Env) controller.Reconciler { return &rootCA{env, string(pem)} },
	}
}

func namespaceOfRootCA(_ controller.Env, obj, _ runtime.Object) []types.NamespacedName {
	cm := obj.(*corev1.ConfigMap)
	if cm.Name != rootCAName {
		return nil
	}
	return []types.NamespacedName{{Name: cm.Namespace}}
}

type rootCA struct {
	env controller.Env
	pem string
}

// Reconcile implements controller.Reconciler.
func (r *rootCA) Reconcile(ctx context.Context, key types.NamespacedName) (controller.Result, error) {
	core := r.env.Informers.Core().V1()
	namespace, err := core.Namespaces().Lister().Get(key.Name)
	if apierrors.IsNotFound(err) || err == nil && namespace.Status.Phase == corev1.NamespaceTerminating {
		return controller.Result{}, nil
	}
	if err != nil {
		return controller.Result{}, err
	}
	have, err := core.ConfigMaps().Lister().ConfigMaps(key.Name).Get(rootCAName)
	if err != nil && !apierrors.IsNotFound(err) {
		return controller.Result{}, err
	}
	return controller.Result{}, r.write(ctx, key.Name, have)
}

func (r *rootCA) write(ctx context.Context, namespace string, have *corev1.ConfigMap) error {
	configMaps := r.env.Client.CoreV1().ConfigMaps(namespace)
	want := map[string]string{"ca.crt": r.pem}
	if have == nil {
		_, err := configMaps.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Name:        rootCAName,
				Annotations: map[string]string{"kubernetes.io/description": "Contains a CA bundle that can be used to verify the API server at its names inside the cluster."},
			},
			Data: want,
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil
		}
		return err
	}
	if len(have.Data) == 1 && have.Data["ca.crt"] == r.pem {
		return nil
	}
	have = have.DeepCopy()
	have.Data, have.BinaryData = want, nil
	_, err := configMaps.Update(ctx, have, metav1.UpdateOptions{})
	return err
}
