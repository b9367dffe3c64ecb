package apiserver

import (
	"sync"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/managedfields"
	clientgoapply "k8s.io/client-go/applyconfigurations"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"dhow/apiserver/openapi"
	"dhow/apiserver/review"
)

// lazyConverter builds the schema of server-side apply, some 20 MB, when somebody first applies.
type lazyConverter struct {
	scheme *runtime.Scheme
	once   sync.Once
	built  managedfields.TypeConverter
	// others are types that client-go, whose schema that is, does not have.
	others openapi.Types
}

func newLazyConverter(scheme *runtime.Scheme) *lazyConverter {
	return &lazyConverter{scheme: scheme, others: openapi.Types{Names: []string{apiregistrationv1.APIService{}.OpenAPIModelName()}}}
}

func (l *lazyConverter) get() managedfields.TypeConverter {
	l.once.Do(func() { l.built = clientgoapply.NewTypeConverter(l.scheme) })
	return l.built
}

// ObjectToTyped implements managedfields.TypeConverter.
func (l *lazyConverter) ObjectToTyped(obj runtime.Object, options ...typed.ValidationOptions) (*typed.TypedValue, error) {
	if _, ok := obj.(*apiregistrationv1.APIService); ok || obj.GetObjectKind().GroupVersionKind().Group == apiregistrationv1.GroupName {
		return l.others.ObjectToTyped(obj, options...)
	}
	if neverStored(obj) {
		return managedfields.NewDeducedTypeConverter().ObjectToTyped(obj, options...)
	}
	return l.get().ObjectToTyped(obj, options...)
}

// neverStored: nobody manages fields of these.
func neverStored(obj runtime.Object) bool {
	switch obj.(type) {
	case *corev1.Binding, *authenticationv1.TokenRequest:
		return true
	}
	return review.IsReview(obj)
}

// TypedToObject implements managedfields.TypeConverter. It needs no schema.
func (l *lazyConverter) TypedToObject(value *typed.TypedValue) (runtime.Object, error) {
	return managedfields.NewDeducedTypeConverter().TypedToObject(value)
}
