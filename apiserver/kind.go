package apiserver

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
)

// Object is a Kubernetes API object by pointer, such as *corev1.Pod.
type Object interface {
	metav1.Object
	runtime.Object
}

// Kind is everything the server knows of one kind, its types erased. Make it with Define.
type Kind struct {
	GroupVersion schema.GroupVersion
	Names
	new, newList func() runtime.Object
	rules        Rules[Object]
	served       []Alias // further versions
}

// Names are what clients call a kind.
type Names struct {
	Kind       string // "Pod"
	Resource   string // "pods"
	Singular   string // "pod"; lower-case Kind by default
	ShortNames []string
	Categories []string // "all"
	Cluster    bool     // not namespaced
}

// Rules are what is particular to one kind; every zero field means "nothing particular". Functions are pure
// but for what they change in the object they are given, and may be called concurrently. The server itself
// does what holds for every kind: object metadata, generation (raised when spec changes), deletion and
// finalizers, managed fields, status that only the status subresource changes and spec that it does not.
type Rules[T Object] struct {
	// Default fills unset fields as upstream's v1 defaulting does; called on every decode, so idempotent.
	Default func(obj T)
	// PrepareForCreate and PrepareForUpdate drop what a client may not set. They run before validation.
	PrepareForCreate func(ctx context.Context, obj T)
	PrepareForUpdate func(ctx context.Context, obj, old T)
	// Validate checks an object to be created; ValidateUpdate a changed one, its immutable fields included
	// (it calls Validate's checks itself where upstream does). Messages and paths are upstream's.
	Validate       func(ctx context.Context, obj T) field.ErrorList
	ValidateUpdate func(ctx context.Context, obj, old T) field.ErrorList
	// ValidateName: DNS subdomain by default.
	ValidateName func(name string) []string
	// Warnings are returned to the client as HTTP warnings on create and update.
	Warnings func(ctx context.Context, obj, old T) []string

	// HasStatus adds the status subresource; StatusUpdate prepares and checks writes to it.
	HasStatus            bool
	PrepareForStatus     func(ctx context.Context, obj, old T)
	ValidateStatusUpdate func(ctx context.Context, obj, old T) field.ErrorList
	// StatusKeepsMeta: a write to the status leaves labels, annotations and finalizers as they are, too.
	StatusKeepsMeta bool

	// Fields are the selectable fields beyond metadata.name and metadata.namespace.
	Fields func(obj T) fields.Set
	// IndexFields name the Fields by which the watch cache keeps an index ("spec.nodeName").
	IndexFields []string
	// Columns are kubectl's; name and age by default. Cells returns one value per column but Name, whose
	// value the server adds; or all, when the kind shows more than the name there ("standard (default)").
	Columns []metav1.TableColumnDefinition
	Cells   func(obj T) []any

	// AllowCreateOnUpdate: PUT of a missing object creates it (Lease, Endpoints …).
	AllowCreateOnUpdate bool
	// RequireResourceVersion: an update without one is refused (most kinds allow it).
	RequireResourceVersion bool
	// GracePeriod makes deletion graceful: it may adjust options and says whether the object stays for now
	// (rest.RESTGracefulDeleteStrategy). Pods only.
	GracePeriod func(ctx context.Context, obj T, options *metav1.DeleteOptions) bool
	// Delete replaces the deletion of one object (Namespace: it stays until it is empty).
	Delete func(ctx context.Context, store *genericregistry.Store, name string, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions) (runtime.Object, bool, error)
	// StatusOnCreate: a create may set the status too (Node).
	StatusOnCreate bool
	// NoGeneration: the server counts no changes of spec (PersistentVolume and others from before that rule).
	NoGeneration bool
	// OrphanByDefault: dependents are kept unless the client says otherwise (Job).
	OrphanByDefault bool

	// Scale adds the scale subresource (autoscaling/v1).
	Scale *ScaleRules[T]
	// Subresources are further ones by name ("binding", "log"); each is given the kind's own store.
	Subresources map[string]func(store *genericregistry.Store) rest.Storage
	// Beside are resources of the same group version by their whole names ("bindings").
	Beside map[string]func(store *genericregistry.Store) rest.Storage
	// Hook edits the finished store: BeginCreate, BeginUpdate, AfterDelete, Decorator (Service's addresses).
	Hook func(store *genericregistry.Store)
}

// ScaleRules say where a kind keeps what autoscaling/v1 Scale shows.
type ScaleRules[T Object] struct {
	Get func(obj T) (spec, status int32, selector string)
	Set func(obj T, replicas int32)
}

// Define erases the types of rules. Example, the whole of a plain kind:
//
//	apiserver.Define[*corev1.ConfigMap, *corev1.ConfigMapList](corev1.SchemeGroupVersion,
//		apiserver.Names{Kind: "ConfigMap", Resource: "configmaps", ShortNames: []string{"cm"}},
//		apiserver.Rules[*corev1.ConfigMap]{Validate: validate})
func Define[T Object, L runtime.Object](gv schema.GroupVersion, names Names, rules Rules[T]) Kind {
	return Kind{GroupVersion: gv, Names: names, new: newOf[T](), newList: newOf[L](), rules: erase(rules)}
}
