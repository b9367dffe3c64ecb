package plain

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"dhow/apiserver"
)

// The kinds here that have replicas, and so a scale subresource.

func replicationControllers() apiserver.Kind {
	return apiserver.Define[*corev1.ReplicationController, *corev1.ReplicationControllerList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "ReplicationController", Resource: "replicationcontrollers", ShortNames: []string{"rc"}, Categories: []string{"all"}},
		apiserver.Rules[*corev1.ReplicationController]{
			Default: replicationController, HasStatus: true,
			Scale: &apiserver.ScaleRules[*corev1.ReplicationController]{
				Get: func(r *corev1.ReplicationController) (int32, int32, string) {
					return deref(r.Spec.Replicas), r.Status.Replicas, labels.SelectorFromSet(r.Spec.Selector).String()
				},
				Set: func(r *corev1.ReplicationController, n int32) { r.Spec.Replicas = &n },
			},
		})
}

func deref(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}
