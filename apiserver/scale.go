package apiserver

import (
	"context"
	"fmt"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
)

// scale shows a kind's number of replicas as an autoscaling/v1 Scale, and changes it.
type scale struct {
	store *genericregistry.Store
	kind  Kind
}

var (
	_ rest.Patcher                  = &scale{}
	_ rest.GroupVersionKindProvider = &scale{}
)

func (s *scale) New() runtime.Object { return &autoscalingv1.Scale{} }
func (s *scale) Destroy()            {} // the main endpoint's store is the same

func (s *scale) GroupVersionKind(schema.GroupVersion) schema.GroupVersionKind {
	return autoscalingv1.SchemeGroupVersion.WithKind("Scale")
}

func (s *scale) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	obj, err := s.store.Get(ctx, name, options)
	if err != nil {
		return nil, err
	}
	return s.of(obj.(Object)), nil
}

func (s *scale) of(o Object) *autoscalingv1.Scale {
	spec, current, selector := s.kind.rules.Scale.Get(o)
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{
			Name: o.GetName(), Namespace: o.GetNamespace(), UID: o.GetUID(),
			ResourceVersion: o.GetResourceVersion(), CreationTimestamp: o.GetCreationTimestamp(),
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: spec},
		Status: autoscalingv1.ScaleStatus{Replicas: current, Selector: selector},
	}
}

func (s *scale) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	change := &scaleChange{scale: s, name: name, info: info, validate: update}
	obj, _, err := s.store.Update(ctx, name, change, nothingToCheck, nothingToCheckUpdate, false, options)
	if err != nil {
		return nil, false, err
	}
	return s.of(obj.(Object)), false, nil
}

func (s *scale) ConvertToTable(ctx context.Context, object, options runtime.Object) (*metav1.Table, error) {
	return rest.NewDefaultTableConvertor(s.kind.groupResource(s.kind.Resource)).ConvertToTable(ctx, object, options)
}

// scaleChange turns a change of a Scale into one of the object behind it.
type scaleChange struct {
	scale    *scale
	name     string
	info     rest.UpdatedObjectInfo
	validate rest.ValidateObjectUpdateFunc
}

func (c *scaleChange) Preconditions() *metav1.Preconditions { return c.info.Preconditions() }

func (c *scaleChange) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	o := old.DeepCopyObject().(Object)
	before := c.scale.of(o)
	changed, err := c.info.UpdatedObject(ctx, before)
	if err != nil {
		return nil, err
	}
	after, ok := changed.(*autoscalingv1.Scale)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("expected input object type to be Scale, but %T", changed))
	}
	if after.Spec.Replicas < 0 {
		return nil, apierrors.NewInvalid(autoscalingv1.SchemeGroupVersion.WithKind("Scale").GroupKind(), c.name, field.ErrorList{
			field.Invalid(field.NewPath("spec", "replicas"), after.Spec.Replicas, "must be greater than or equal to 0"),
		})
	}
	if c.validate != nil {
		if err := c.validate(ctx, after, before); err != nil {
			return nil, err
		}
	}
	if after.ResourceVersion != "" {
		o.SetResourceVersion(after.ResourceVersion)
	}
	c.scale.kind.rules.Scale.Set(o, after.Spec.Replicas)
	return o, nil
}

// The scale's own admission has run already when the object behind it is written.
func nothingToCheck(context.Context, runtime.Object) error                       { return nil }
func nothingToCheckUpdate(context.Context, runtime.Object, runtime.Object) error { return nil }
