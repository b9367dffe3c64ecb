package plain

import (
	corev1 "k8s.io/api/core/v1"

	"dhow/api/podspec"
)

// The defaults of Kubernetes' v1 API, for the kinds of this package.

// unset makes p point at value where it points nowhere.
func unset[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

// empty sets p where it is the zero value.
func empty[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

func podTemplate(p *corev1.PodTemplate) { podspec.Default(&p.Template.Spec) }

// limitRange takes what is missing from the tighter bound: requests from defaults, defaults from maxima.
func limitRange(l *corev1.LimitRange) {
	for i := range l.Spec.Limits {
		item := &l.Spec.Limits[i]
		if item.Type != corev1.LimitTypeContainer {
			continue
		}
		fillIn(&item.Default, item.Max)
		fillIn(&item.DefaultRequest, item.Default)
		fillIn(&item.DefaultRequest, item.Min)
	}
}

func fillIn(list *corev1.ResourceList, from corev1.ResourceList) {
	for name, amount := range from {
		if _, set := (*list)[name]; set {
			continue
		}
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		(*list)[name] = amount.DeepCopy()
	}
}
