package limitrange

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/uuid"

	"dhow/api/quantity"
	"dhow/apiserver"
)

// Kind defines LimitRanges.
func Kind() apiserver.Kind {
	return apiserver.Define[*corev1.LimitRange, *corev1.LimitRangeList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "LimitRange", Resource: "limitranges", ShortNames: []string{"limits"}},
		apiserver.Rules[*corev1.LimitRange]{
			Default: Default,
			PrepareForCreate: func(_ context.Context, r *corev1.LimitRange) {
				if r.Name == "" {
					r.Name = string(uuid.NewUUID())
				}
			},
			Validate:            validate,
			ValidateUpdate:      validateUpdate,
			AllowCreateOnUpdate: true,
		})
}

// Default takes what is missing from the tighter bound: limits of containers from maxima, requests from limits and
// else from minima.
func Default(r *corev1.LimitRange) {
	for i := range r.Spec.Limits {
		item := &r.Spec.Limits[i]
		for _, list := range []corev1.ResourceList{item.Max, item.Min, item.Default, item.DefaultRequest, item.MaxLimitRequestRatio} {
			quantity.Round(list)
		}
		if item.Type != corev1.LimitTypeContainer {
			continue
		}
		add(&item.Default, item.Max, false)
		add(&item.DefaultRequest, item.Default, false)
		add(&item.DefaultRequest, item.Min, false)
	}
}
