// Package replicationcontroller is all that the server knows of ReplicationControllers: defaults, validation, scale,
// what kubectl prints; and the controller that keeps the number of their pods, which is that of ReplicaSets.
package replicationcontroller

import (
	"context"
	"maps"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"dhow/api/podspec"
	"dhow/api/table"
	"dhow/api/workload"
	"dhow/apiserver"
)

// Kind defines ReplicationControllers.
func Kind() apiserver.Kind {
	return apiserver.Define[*corev1.ReplicationController, *corev1.ReplicationControllerList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "ReplicationController", Resource: "replicationcontrollers", ShortNames: []string{"rc"}, Categories: []string{"all"}},
		apiserver.Rules[*corev1.ReplicationController]{
			Default: Default,
			PrepareForCreate: func(_ context.Context, r *corev1.ReplicationController) {
				if r.Spec.Template != nil {
					podspec.DropDisabled(&r.Spec.Template.Spec, nil)
				}
			},
			PrepareForUpdate: func(_ context.Context, r, old *corev1.ReplicationController) {
				if r.Spec.Template != nil && old.Spec.Template != nil {
					podspec.DropDisabled(&r.Spec.Template.Spec, &old.Spec.Template.Spec)
				}
			},
			Validate:             validate,
			ValidateUpdate:       validateUpdate,
			Warnings:             warn,
			HasStatus:            true,
			ValidateStatusUpdate: validateStatusUpdate,
			Fields: func(r *corev1.ReplicationController) fields.Set {
				return fields.Set{"status.replicas": strconv.Itoa(int(r.Status.Replicas))}
			},
			Columns: columns(),
			Cells:   cells,
			Scale: &apiserver.ScaleRules[*corev1.ReplicationController]{
				Get: func(r *corev1.ReplicationController) (int32, int32, string) {
					return table.Value(r.Spec.Replicas), r.Status.Replicas, labels.Set(r.Spec.Selector).AsSelector().String()
				},
				Set: func(r *corev1.ReplicationController, replicas int32) { r.Spec.Replicas = &replicas },
			},
			OrphanByDefault: true,
		})
}

// Default fills what a ReplicationController leaves open: its selector and its labels are its template's.
func Default(r *corev1.ReplicationController) {
	if r.Spec.Replicas == nil {
		one := int32(1)
		r.Spec.Replicas = &one
	}
	if r.Spec.Template == nil {
		return
	}
	podspec.Default(&r.Spec.Template.Spec)
	if len(r.Spec.Selector) == 0 {
		r.Spec.Selector = maps.Clone(r.Spec.Template.Labels)
	}
	if len(r.Labels) == 0 {
		r.Labels = maps.Clone(r.Spec.Template.Labels)
	}
}

func warn(_ context.Context, r, old *corev1.ReplicationController) []string {
	if old != nil && r.Generation == old.Generation {
		return nil
	}
	return workload.Warnings(&r.ObjectMeta, r.Spec.Template, old == nil)
}

func columns() []metav1.TableColumnDefinition {
	spec, status := corev1.ReplicationControllerSpec{}.SwaggerDoc(), corev1.ReplicationControllerStatus{}.SwaggerDoc()
	return append([]metav1.TableColumnDefinition{
		table.Name(),
		table.Number("Desired", spec["replicas"]),
		table.Number("Current", status["replicas"]),
		table.Number("Ready", status["readyReplicas"]),
		table.Age(),
	}, append(table.TemplateColumns(), table.Wide("Selector", spec["selector"]))...)
}

func cells(r *corev1.ReplicationController) []any {
	names, images := "", ""
	if r.Spec.Template != nil {
		names, images = table.Template(r.Spec.Template)
	}
	return []any{
		int64(table.Value(r.Spec.Replicas)), int64(r.Status.Replicas), int64(r.Status.ReadyReplicas),
		table.Since(r.CreationTimestamp), names, images, labels.FormatLabels(r.Spec.Selector),
	}
}
