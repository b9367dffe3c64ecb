package pod

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
)

// bindings is the older way to pods/binding: the pod is named in the body.
type bindings struct{ binding *Binding }

func newBindings(store *genericregistry.Store) rest.Storage { return &bindings{&Binding{store: store}} }

var _ interface {
	rest.Creater
	rest.Scoper
	rest.SingularNameProvider
} = &bindings{}

func (*bindings) New() runtime.Object     { return &corev1.Binding{} }
func (*bindings) Destroy()                {}
func (*bindings) NamespaceScoped() bool   { return true }
func (*bindings) GetSingularName() string { return "binding" }

// Create binds the pod of the binding's name.
func (b *bindings) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	binding, ok := obj.(*corev1.Binding)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a Binding object: %#v", obj))
	}
	return b.binding.Create(ctx, binding.Name, obj, validate, options)
}
