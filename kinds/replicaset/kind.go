// Package replicaset is all that the server knows of ReplicaSets: defaults, validation, scale, what kubectl
// prints; and the controller that keeps the number of their pods.
package replicaset

import (
	"context"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/fields"

	"dhow/api/podspec"
	"dhow/api/table"
	"dhow/api/workload"
	"dhow/apiserver"
)

// Kind defines ReplicaSets.
func Kind() apiserver.Kind {
	return apiserver.Define[*appsv1.ReplicaSet, *appsv1.ReplicaSetList](appsv1.SchemeGroupVersion,
		apiserver.Names{Kind: "ReplicaSet", Resource: "replicasets", ShortNames: []string{"rs"}, Categories: []string{"all"}},
		apiserver.Rules[*appsv1.ReplicaSet]{
			Default: Default,
			PrepareForCreate: func(_ context.Context, r *appsv1.ReplicaSet) {
				r.Status = appsv1.ReplicaSetStatus{}
				podspec.DropDisabled(&r.Spec.Template.Spec, nil)
			},
			PrepareForUpdate: func(_ context.Context, r, old *appsv1.ReplicaSet) {
				r.Status = old.Status
				podspec.DropDisabled(&r.Spec.Template.Spec, &old.Spec.Template.Spec)
			},
			Validate:             validate,
			ValidateUpdate:       validateUpdate,
			Warnings:             warn,
			HasStatus:            true,
			ValidateStatusUpdate: validateStatusUpdate,
			Fields: func(r *appsv1.ReplicaSet) fields.Set {
				return fields.Set{"status.replicas": strconv.Itoa(int(r.Status.Replicas))}
			},
			Columns: columns(),
			Cells:   cells,
			Scale: &apiserver.ScaleRules[*appsv1.ReplicaSet]{
				Get: func(r *appsv1.ReplicaSet) (int32, int32, string) {
					return table.Value(r.Spec.Replicas), r.Status.Replicas, workload.SelectorString(r.Spec.Selector)
				},
				Set: func(r *appsv1.ReplicaSet, replicas int32) { r.Spec.Replicas = &replicas },
			},
		})
}

func warn(_ context.Context, r, old *appsv1.ReplicaSet) []string {
	if old != nil && r.Generation == old.Generation {
		return nil
	}
	return workload.Warnings(&r.ObjectMeta, &r.Spec.Template, old == nil)
}
