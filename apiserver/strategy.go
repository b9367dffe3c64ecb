package apiserver

import (
	"context"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// strategy is how the library asks for a kind's rules when an object is created, updated or deleted through
// its main resource.
type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
	kind Kind
	// spec and status are the indexes of those fields in the kind's struct; nil where it has none.
	spec, status []int
}

func newStrategy(typer runtime.ObjectTyper, kind Kind) strategy {
	s := strategy{ObjectTyper: typer, NameGenerator: names.SimpleNameGenerator, kind: kind}
	t := reflect.TypeOf(kind.new()).Elem()
	if f, ok := t.FieldByName("Spec"); ok {
		s.spec = f.Index
	}
	if f, ok := t.FieldByName("Status"); ok && kind.rules.HasStatus {
		s.status = f.Index
	}
	return s
}

var (
	_ rest.RESTCreateStrategy              = strategy{}
	_ rest.RESTUpdateStrategy              = strategy{}
	_ rest.GarbageCollectionDeleteStrategy = strategy{}
	_ rest.ResetFieldsStrategy             = strategy{}
)

func (s strategy) NamespaceScoped() bool                    { return !s.kind.Cluster }
func (s strategy) AllowCreateOnUpdate(context.Context) bool { return s.kind.rules.AllowCreateOnUpdate }
func (s strategy) AllowUnconditionalUpdate(context.Context) bool {
	return !s.kind.rules.RequireResourceVersion
}
func (s strategy) Canonicalize(runtime.Object) {}

// PrepareForCreate clears status and starts the generations of kinds that have a spec and a status.
func (s strategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	o := obj.(Object)
	if s.status != nil && !s.kind.rules.StatusOnCreate {
		part(o, s.status).SetZero()
	}
	if s.countsChanges() {
		o.SetGeneration(1)
	}
	if f := s.kind.rules.PrepareForCreate; f != nil {
		f(ctx, o)
	}
}

// PrepareForUpdate keeps status, and raises the generation when the spec has changed.
func (s strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	o, before := obj.(Object), old.(Object)
	if s.status != nil {
		part(o, s.status).Set(part(before, s.status))
	}
	counted := s.countsChanges()
	if counted {
		o.SetGeneration(before.GetGeneration()) // the kind's rules may raise it for more than the spec
	}
	if f := s.kind.rules.PrepareForUpdate; f != nil {
		f(ctx, o, before)
	}
	if !counted {
		return
	}
	if !apiequality.Semantic.DeepEqual(part(o, s.spec).Interface(), part(before, s.spec).Interface()) {
		o.SetGeneration(before.GetGeneration() + 1)
	}
}

// countsChanges says whether the kind's generation rises with its spec.
func (s strategy) countsChanges() bool {
	return s.status != nil && s.spec != nil && !s.kind.rules.NoGeneration
}

func part(o Object, index []int) reflect.Value { return reflect.ValueOf(o).Elem().FieldByIndex(index) }

func (s strategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	o := obj.(Object)
	errs := apivalidation.ValidateObjectMetaAccessor(o, s.NamespaceScoped(), s.validateName, field.NewPath("metadata"))
	errs = append(errs, validateFinalizers(o)...)
	if f := s.kind.rules.Validate; f != nil {
		errs = append(errs, f(ctx, o)...)
	}
	return errs
}

func (s strategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	o, before := obj.(Object), old.(Object)
	errs := apivalidation.ValidateObjectMetaAccessorUpdate(o, before, field.NewPath("metadata"))
	errs = append(errs, validateFinalizers(o)...)
	if f := s.kind.rules.ValidateUpdate; f != nil {
		errs = append(errs, f(ctx, o, before)...)
	}
	return errs
}

// standardFinalizers may be named without a domain.
var standardFinalizers = []string{string(corev1.FinalizerKubernetes), metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents}

// validateFinalizers requires that whoever holds up a deletion can be told by the domain in the finalizer's name.
func validateFinalizers(o Object) (errs field.ErrorList) {
	for i, name := range o.GetFinalizers() {
		if !strings.Contains(name, "/") && !slices.Contains(standardFinalizers, name) {
			errs = append(errs, field.Invalid(field.NewPath("metadata", "finalizers").Index(i), name,
				"name is neither a standard finalizer name nor is it fully qualified"))
		}
	}
	return errs
}

// validateName checks a name, or with prefix a generateName: what is put behind that makes a trailing dash right.
func (s strategy) validateName(name string, prefix bool) []string {
	f := s.kind.rules.ValidateName
	if f == nil {
		return apivalidation.NameIsDNSSubdomain(name, prefix)
	}
	if prefix && strings.HasSuffix(name, "-") {
		name = name[:len(name)-1] + "a"
	}
	return f(name)
}

func (s strategy) WarningsOnCreate(ctx context.Context, obj runtime.Object) []string {
	if f := s.kind.rules.Warnings; f != nil {
		return f(ctx, obj.(Object), nil)
	}
	return nil
}

func (s strategy) WarningsOnUpdate(ctx context.Context, obj, old runtime.Object) []string {
	if f := s.kind.rules.Warnings; f != nil {
		return f(ctx, obj.(Object), old.(Object))
	}
	return nil
}

// DefaultGarbageCollectionPolicy is what becomes of dependents when a client does not say.
func (s strategy) DefaultGarbageCollectionPolicy(context.Context) rest.GarbageCollectionPolicy {
	if s.kind.rules.OrphanByDefault {
		return rest.OrphanDependents
	}
	return rest.DeleteDependents
}

// GetResetFields names what a write to the main resource cannot set, for server-side apply.
func (s strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	if s.status == nil {
		return nil
	}
	return resetFields(s.kind, fieldpath.MakePathOrDie("status"))
}

func resetFields(kind Kind, paths ...fieldpath.Path) map[fieldpath.APIVersion]*fieldpath.Set {
	return map[fieldpath.APIVersion]*fieldpath.Set{
		fieldpath.APIVersion(kind.GroupVersion.String()): fieldpath.NewSet(paths...),
	}
}

// gracefulStrategy is a strategy of a kind whose objects stay for a while after their deletion.
type gracefulStrategy struct{ strategy }

var _ rest.RESTGracefulDeleteStrategy = gracefulStrategy{}

func (s gracefulStrategy) CheckGracefulDelete(ctx context.Context, obj runtime.Object, options *metav1.DeleteOptions) bool {
	return s.kind.rules.GracePeriod(ctx, obj.(Object), options)
}

// statusStrategy is a strategy for writes to the status subresource: the spec and the owners stay.
type statusStrategy struct{ strategy }

func (s statusStrategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	o, before := obj.(Object), old.(Object)
	if s.spec != nil {
		part(o, s.spec).Set(part(before, s.spec))
	}
	o.SetOwnerReferences(before.GetOwnerReferences())
	o.SetDeletionTimestamp(before.GetDeletionTimestamp())
	o.SetGeneration(before.GetGeneration())
	if s.kind.rules.StatusKeepsMeta {
		metav1.ResetObjectMetaForStatus(o, before)
	}
	if f := s.kind.rules.PrepareForStatus; f != nil {
		f(ctx, o, before)
	}
}

func (s statusStrategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	o, before := obj.(Object), old.(Object)
	errs := apivalidation.ValidateObjectMetaAccessorUpdate(o, before, field.NewPath("metadata"))
	if f := s.kind.rules.ValidateStatusUpdate; f != nil {
		errs = append(errs, f(ctx, o, before)...)
	}
	return errs
}

func (s statusStrategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

func (s statusStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	if s.kind.rules.StatusKeepsMeta {
		return resetFields(s.kind, fieldpath.MakePathOrDie("metadata"), fieldpath.MakePathOrDie("spec"))
	}
	return resetFields(s.kind, fieldpath.MakePathOrDie("spec"))
}
