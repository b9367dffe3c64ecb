// Package subresource makes REST storage for subresources through which a part of an object is read and changed
// in the object's own store: pods/resize, namespaces/finalize, services/status.
package subresource

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Rules are what one subresource may change.
type Rules[T runtime.Object] struct {
	// Prepare puts back what the subresource may not change.
	Prepare func(ctx context.Context, obj, old T)
	// Validate checks the change.
	Validate func(ctx context.Context, obj, old T) field.ErrorList
	// Owns are the fields that a writer of the subresource owns with server-side apply; all when nil.
	Owns map[fieldpath.APIVersion]fieldpath.Filter
}

// Store returns a copy of store whose updates follow rules.
func Store[T runtime.Object](store *genericregistry.Store, rules Rules[T]) *genericregistry.Store {
	own := *store
	own.UpdateStrategy = strategy[T]{store.UpdateStrategy, rules}
	own.ResetFieldsStrategy = nil
	own.BeginUpdate, own.AfterUpdate = nil, nil
	return &own
}

// strategy is the kind's own but for what rules say.
type strategy[T runtime.Object] struct {
	rest.RESTUpdateStrategy
	rules Rules[T]
}

func (s strategy[T]) AllowCreateOnUpdate(context.Context) bool { return false }

func (s strategy[T]) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	s.rules.Prepare(ctx, obj.(T), old.(T))
}

func (s strategy[T]) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	return s.rules.Validate(ctx, obj.(T), old.(T))
}

func (s strategy[T]) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// REST gets and updates an object through a subresource. It implements rest.Patcher.
type REST struct {
	store *genericregistry.Store
	owns  map[fieldpath.APIVersion]fieldpath.Filter
}

// New makes the storage of a subresource.
func New[T runtime.Object](store *genericregistry.Store, rules Rules[T]) *REST {
	return &REST{Store(store, rules), rules.Owns}
}

// New returns an empty object of the kind.
func (r *REST) New() runtime.Object { return r.store.New() }

// Destroy does nothing: the store belongs to the kind.
func (r *REST) Destroy() {}

// Get returns the object.
func (r *REST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	return r.store.Get(ctx, name, options)
}

// Update changes the object; it never creates one.
func (r *REST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc,
	update rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return r.store.Update(ctx, name, info, create, update, false, options)
}

// GetResetFieldsFilter says which fields are not this subresource's.
func (r *REST) GetResetFieldsFilter() map[fieldpath.APIVersion]fieldpath.Filter { return r.owns }
