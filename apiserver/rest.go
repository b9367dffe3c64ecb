package apiserver

import (
	"context"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// resource is a kind's main REST endpoint.
type resource struct {
	*genericregistry.Store
	kind Kind
}

// Delete deletes one object, in the kind's own way where it has one.
func (r *resource) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions) (runtime.Object, bool, error) {
	if f := r.kind.rules.Delete; f != nil {
		return f(ctx, r.Store, name, validate, options)
	}
	return r.Store.Delete(ctx, name, validate, options)
}

// Update implements rest.Updater.
func (r *resource) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, force bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return r.Store.Update(ctx, name, patched{info}, create, update, force, options)
}

// ShortNames and Categories are what discovery tells kubectl.
func (r *resource) ShortNames() []string { return r.kind.ShortNames }
func (r *resource) Categories() []string { return r.kind.Categories }

// storages makes a kind's endpoints by their discovery names: "pods", "pods/status" …
func (k Kind) storages(typer runtime.ObjectTyper, options generic.RESTOptionsGetter) (map[string]rest.Storage, error) {
	base := newStrategy(typer, k)
	store := &genericregistry.Store{
		NewFunc:                   k.new,
		NewListFunc:               k.newList,
		DefaultQualifiedResource:  k.groupResource(k.Resource),
		SingularQualifiedResource: k.groupResource(k.singular()),
		PredicateFunc: func(l labels.Selector, f fields.Selector) storage.SelectionPredicate {
			return storage.SelectionPredicate{Label: l, Field: f, GetAttrs: k.attributes, IndexFields: k.rules.IndexFields}
		},
		CreateStrategy:      base,
		UpdateStrategy:      base,
		DeleteStrategy:      base,
		ResetFieldsStrategy: base,
		TableConvertor:      rest.NewDefaultTableConvertor(k.groupResource(k.Resource)),
	}
	if k.rules.GracePeriod != nil {
		store.DeleteStrategy = gracefulStrategy{base}
	}
	if k.rules.Cells != nil {
		store.TableConvertor = table{k.rules}
	}
	if err := store.CompleteWithOptions(k.storeOptions(options)); err != nil {
		return nil, err
	}
	store.StorageVersioner = k.GroupVersion // discovery shows its hash
	if k.rules.Hook != nil {
		k.rules.Hook(store)
	}
	all := map[string]rest.Storage{k.Resource: &resource{store, k}}
	if k.rules.HasStatus {
		all[k.Resource+"/status"] = newStatus(store, base)
	}
	if k.rules.Scale != nil {
		all[k.Resource+"/scale"] = &scale{store: store, kind: k}
	}
	for name, make := range k.rules.Subresources {
		all[k.Resource+"/"+name] = make(store)
	}
	for name, make := range k.rules.Beside {
		all[name] = make(store)
	}
	return all, nil
}

func (k Kind) groupResource(resource string) schema.GroupResource {
	return schema.GroupResource{Group: k.GroupVersion.Group, Resource: resource}
}

func (k Kind) singular() string {
	if k.Singular != "" {
		return k.Singular
	}
	return strings.ToLower(k.Kind)
}

// storeOptions has an index of the watch cache for each of the kind's IndexFields.
func (k Kind) storeOptions(options generic.RESTOptionsGetter) *generic.StoreOptions {
	o := &generic.StoreOptions{RESTOptions: options, AttrFunc: k.attributes}
	if len(k.rules.IndexFields) == 0 {
		return o
	}
	o.TriggerFunc = storage.IndexerFuncs{}
	indexers := cache.Indexers{}
	for i, name := range k.rules.IndexFields {
		value := func(obj runtime.Object) string { return k.rules.Fields(obj.(Object))[name] }
		if i == 0 { // the library takes one trigger
			o.TriggerFunc[name] = value
		}
		indexers[storage.FieldIndex(name)] = func(obj any) ([]string, error) {
			return []string{value(obj.(runtime.Object))}, nil
		}
	}
	o.Indexers = &indexers
	return o
}

// attributes are what selectors select by.
func (k Kind) attributes(obj runtime.Object) (labels.Set, fields.Set, error) {
	o := obj.(Object)
	set := fields.Set{"metadata.name": o.GetName()}
	if !k.Cluster {
		set["metadata.namespace"] = o.GetNamespace()
	}
	if k.rules.Fields != nil {
		for name, value := range k.rules.Fields(o) {
			set[name] = value
		}
	}
	return o.GetLabels(), set, nil
}

// selectable are the names of the fields that a selector may use.
func (k Kind) selectable() []string {
	_, set, _ := k.attributes(k.new())
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// status is a kind's status endpoint: it reads the object and writes its status alone.
type status struct {
	store *genericregistry.Store
	reset map[fieldpath.APIVersion]*fieldpath.Set
}

func newStatus(store *genericregistry.Store, base strategy) *status {
	s := statusStrategy{base}
	copied := *store
	copied.UpdateStrategy = s
	copied.ResetFieldsStrategy = s
	return &status{store: &copied, reset: s.GetResetFields()}
}

var (
	_ rest.Patcher             = &status{}
	_ rest.ResetFieldsStrategy = &status{}
)

func (s *status) New() runtime.Object { return s.store.New() }
func (s *status) Destroy()            {} // the main endpoint's store is the same

func (s *status) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	return s.store.Get(ctx, name, options)
}

func (s *status) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return s.store.Update(ctx, name, patched{info}, create, update, false, options)
}

func (s *status) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set { return s.reset }

func (s *status) ConvertToTable(ctx context.Context, object, options runtime.Object) (*metav1.Table, error) {
	return s.store.ConvertToTable(ctx, object, options)
}
