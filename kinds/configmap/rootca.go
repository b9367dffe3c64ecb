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

const (
	rootCAKey      = "ca.crt"
	descriptionKey = "kubernetes.io/description"
	description    = "Contains a CA bundle that can be used to verify the API server at its names inside the cluster."
)

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
	return controller.Result{}, r.write(ctx, key.Name, planRootCA(have, r.pem))
}

// planRootCA is the ConfigMap as it should be; nil if it is. have is nil when there is none.
func planRootCA(have *corev1.ConfigMap, pem string) *corev1.ConfigMap {
	if have == nil {
		return &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: rootCAName, Annotations: map[string]string{descriptionKey: description}},
			Data:       map[string]string{rootCAKey: pem},
		}
	}
	if len(have.Data) == 1 && have.Data[rootCAKey] == pem && len(have.BinaryData) == 0 {
		return nil
	}
	have = have.DeepCopy()
	have.Data, have.BinaryData = map[string]string{rootCAKey: pem}, nil
	return have
}

func (r *rootCA) write(ctx context.Context, namespace string, want *corev1.ConfigMap) error {
	configMaps := r.env.Client.CoreV1().ConfigMaps(namespace)
	switch {
	case want == nil:
		return nil
	case want.ResourceVersion != "":
		_, err := configMaps.Update(ctx, want, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			return nil // its deletion brings us back
		}
		return err
	}
	_, err := configMaps.Create(ctx, want, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	return err
}
