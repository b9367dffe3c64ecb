package replicaset

import (
	appsv1 "k8s.io/api/apps/v1"

	"dhow/api/podspec"
)

// Default fills what a ReplicaSet leaves open.
func Default(r *appsv1.ReplicaSet) {
	if r.Spec.Replicas == nil {
		one := int32(1)
		r.Spec.Replicas = &one
	}
	podspec.Default(&r.Spec.Template.Spec)
}
