// Package plugins has the admission plug-ins about namespaces that are off by default.
package plugins

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"dhow/api/admit"
)

// errNotReady is what requests hear before the caches are filled.
var errNotReady = errors.New("not yet ready to handle request")

// elsewhere says whether a request is about nothing inside a namespace.
func elsewhere(a admission.Attributes) bool {
	return a.GetNamespace() == "" || a.GetKind().GroupKind() == schema.GroupKind{Kind: "Namespace"}
}

// Exists refuses requests in namespaces that there are not: the plug-in NamespaceExists.
func Exists(f informers.SharedInformerFactory, client kubernetes.Interface) admission.Interface {
	return &exists{admission.NewHandler(admission.Create, admission.Update, admission.Delete), admit.NewNamespaces(f, client)}
}

type exists struct {
	*admission.Handler
	namespaces *admit.Namespaces
}

var _ admission.ValidationInterface = &exists{}

// Validate implements admission.ValidationInterface.
func (e *exists) Validate(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if elsewhere(a) {
		return nil
	}
	if !e.namespaces.Ready(ctx) {
		return admission.NewForbidden(a, errNotReady)
	}
	_, err := e.namespaces.Get(ctx, a.GetNamespace())
	return err
}

// AutoProvision makes the namespaces that new objects name: the plug-in NamespaceAutoProvision.
func AutoProvision(f informers.SharedInformerFactory, client kubernetes.Interface) admission.Interface {
	return &provision{admission.NewHandler(admission.Create), client, admit.NewNamespaces(f, client)}
}

type provision struct {
	*admission.Handler
	client     kubernetes.Interface
	namespaces *admit.Namespaces
}

var _ admission.MutationInterface = &provision{}

// Admit implements admission.MutationInterface.
func (p *provision) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.IsDryRun() || elsewhere(a) {
		return nil
	}
	if !p.namespaces.Ready(ctx) {
		return admission.NewForbidden(a, errNotReady)
	}
	if p.namespaces.Cached(a.GetNamespace()) {
		return nil
	}
	_, err := p.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.GetNamespace()}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return admission.NewForbidden(a, err)
	}
	return nil
}
