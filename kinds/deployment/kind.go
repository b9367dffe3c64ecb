// Package deployment is all that the server knows of Deployments: defaults, validation, scale, what kubectl
// prints; and the controller that rolls them out.
package deployment

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"dhow/api/podspec"
	"dhow/api/table"
	"dhow/api/workload"
	"dhow/apiserver"
)

// Kind defines Deployments.
func Kind() apiserver.Kind {
	return apiserver.Define[*appsv1.Deployment, *appsv1.DeploymentList](appsv1.SchemeGroupVersion,
		apiserver.Names{Kind: "Deployment", Resource: "deployments", ShortNames: []string{"deploy"}, Categories: []string{"all"}},
		apiserver.Rules[*appsv1.Deployment]{
			Default: Default,
			PrepareForCreate: func(_ context.Context, d *appsv1.Deployment) {
				d.Status = appsv1.DeploymentStatus{}
				podspec.DropDisabled(&d.Spec.Template.Spec, nil)
			},
			PrepareForUpdate:     prepareForUpdate,
			Validate:             validate,
			ValidateUpdate:       validateUpdate,
			Warnings:             warn,
			HasStatus:            true,
			PrepareForStatus:     func(_ context.Context, d, old *appsv1.Deployment) { d.Labels = old.Labels },
			ValidateStatusUpdate: validateStatusUpdate,
			Columns:              columns(),
			Cells:                cells,
			Scale: &apiserver.ScaleRules[*appsv1.Deployment]{
				Get: func(d *appsv1.Deployment) (int32, int32, string) {
					return table.Value(d.Spec.Replicas), d.Status.Replicas, workload.SelectorString(d.Spec.Selector)
				},
				Set: func(d *appsv1.Deployment, replicas int32) { d.Spec.Replicas = &replicas },
			},
		})
}

// prepareForUpdate also counts a change of annotations: the controller copies them to ReplicaSets.
func prepareForUpdate(_ context.Context, d, old *appsv1.Deployment) {
	d.Status = old.Status
	podspec.DropDisabled(&d.Spec.Template.Spec, &old.Spec.Template.Spec)
	if !equality.Semantic.DeepEqual(d.Annotations, old.Annotations) {
		d.Generation = old.Generation + 1
	}
}

func warn(_ context.Context, d, old *appsv1.Deployment) []string {
	if old != nil && d.Generation == old.Generation {
		return nil
	}
	return workload.Warnings(&d.ObjectMeta, &d.Spec.Template, old == nil)
}
