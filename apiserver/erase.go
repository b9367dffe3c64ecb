package apiserver

import (
	"context"
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// newOf makes new objects of the type that T points to.
func newOf[T runtime.Object]() func() runtime.Object {
	kind := reflect.TypeFor[T]().Elem()
	return func() runtime.Object { return reflect.New(kind).Interface().(runtime.Object) }
}

// erase gives rules about T the signatures of rules about any object. What is not set stays so.
func erase[T Object](r Rules[T]) Rules[Object] {
	e := Rules[Object]{
		Default:                eraseDo(r.Default),
		PrepareForCreate:       eraseOne(r.PrepareForCreate),
		PrepareForUpdate:       eraseTwo(r.PrepareForUpdate),
		Validate:               eraseCheck(r.Validate),
		ValidateUpdate:         eraseCheckUpdate(r.ValidateUpdate),
		ValidateName:           r.ValidateName,
		HasStatus:              r.HasStatus,
		PrepareForStatus:       eraseTwo(r.PrepareForStatus),
		ValidateStatusUpdate:   eraseCheckUpdate(r.ValidateStatusUpdate),
		IndexFields:            r.IndexFields,
		Columns:                r.Columns,
		AllowCreateOnUpdate:    r.AllowCreateOnUpdate,
		RequireResourceVersion: r.RequireResourceVersion,
		OrphanByDefault:        r.OrphanByDefault,
		NoGeneration:           r.NoGeneration,
		StatusKeepsMeta:        r.StatusKeepsMeta,
		Delete:                 r.Delete,
		StatusOnCreate:         r.StatusOnCreate,
		Subresources:           r.Subresources,
		Beside:                 r.Beside,
		Hook:                   r.Hook,
	}
	if r.Warnings != nil {
		e.Warnings = func(ctx context.Context, obj, old Object) []string {
			var before T // nil on create
			if old != nil {
				before = old.(T)
			}
			return r.Warnings(ctx, obj.(T), before)
		}
	}
	if r.Fields != nil {
		e.Fields = func(obj Object) fields.Set { return r.Fields(obj.(T)) }
	}
	if r.Cells != nil {
		e.Cells = func(obj Object) []any { return r.Cells(obj.(T)) }
	}
	if r.GracePeriod != nil {
		e.GracePeriod = func(ctx context.Context, obj Object, options *metav1.DeleteOptions) bool {
			return r.GracePeriod(ctx, obj.(T), options)
		}
	}
	if r.Scale != nil {
		e.Scale = &ScaleRules[Object]{
			Get: func(obj Object) (int32, int32, string) { return r.Scale.Get(obj.(T)) },
			Set: func(obj Object, replicas int32) { r.Scale.Set(obj.(T), replicas) },
		}
	}
	return e
}

func eraseDo[T Object](f func(T)) func(Object) {
	if f == nil {
		return nil
	}
	return func(obj Object) { f(obj.(T)) }
}

func eraseOne[T Object](f func(context.Context, T)) func(context.Context, Object) {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, obj Object) { f(ctx, obj.(T)) }
}

func eraseTwo[T Object](f func(ctx context.Context, obj, old T)) func(ctx context.Context, obj, old Object) {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, obj, old Object) { f(ctx, obj.(T), old.(T)) }
}

func eraseCheck[T Object](f func(context.Context, T) field.ErrorList) func(context.Context, Object) field.ErrorList {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, obj Object) field.ErrorList { return f(ctx, obj.(T)) }
}

func eraseCheckUpdate[T Object](f func(ctx context.Context, obj, old T) field.ErrorList) func(ctx context.Context, obj, old Object) field.ErrorList {
	if f == nil {
		return nil
	}
	return func(ctx context.Context, obj, old Object) field.ErrorList { return f(ctx, obj.(T), old.(T)) }
}
