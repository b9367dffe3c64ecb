package resourceclaim

import (
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/quantity"
)

// validateClass checks a class; old is nil for a new one. What is as it was may be of an earlier version's rules.
func validateClass(class *resourcev1.DeviceClass, old *resourcev1.DeviceClassSpec) field.ErrorList {
	var l list
	spec, at := &class.Spec, field.NewPath("spec")
	l.selectors(at.Child("selectors"), spec.Selectors, old != nil && apiequality.Semantic.DeepEqual(spec.Selectors, old.Selectors))
	stored := old != nil && apiequality.Semantic.DeepEqual(spec.Config, old.Config)
	each(&l, at.Child("config"), spec.Config, resourcev1.DeviceConfigMaxSize, func(at *field.Path, c *resourcev1.DeviceClassConfiguration) {
		l.configuration(at, &c.DeviceConfiguration, stored)
	})
	if name := spec.ExtendedResourceName; name != nil && !quantity.IsExtended(corev1.ResourceName(*name)) {
		l.Invalid(at.Child("extendedResourceName"), *name, "must be a valid extended resource name")
	}
	return l.Errors()
}
