// Package statefulset is all that the server knows of StatefulSets: defaults, validation, scale and what kubectl
// prints.
package statefulset

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/podspec"
	"dhow/api/table"
	"dhow/api/warnings"
	"dhow/api/workload"
	"dhow/apiserver"
)

// Kind defines StatefulSets.
func Kind() apiserver.Kind {
	return apiserver.Define[*appsv1.StatefulSet, *appsv1.StatefulSetList](appsv1.SchemeGroupVersion,
		apiserver.Names{Kind: "StatefulSet", Resource: "statefulsets", ShortNames: []string{"sts"}, Categories: []string{"all"}},
		apiserver.Rules[*appsv1.StatefulSet]{
			Default: Default,
			PrepareForCreate: func(_ context.Context, s *appsv1.StatefulSet) {
				podspec.DropDisabled(&s.Spec.Template.Spec, nil)
			},
			PrepareForUpdate: func(_ context.Context, s, old *appsv1.StatefulSet) {
				podspec.DropDisabled(&s.Spec.Template.Spec, &old.Spec.Template.Spec)
			},
			Validate:             validate,
			ValidateUpdate:       validateUpdate,
			ValidateName:         validation.IsDNS1123Label,
			Warnings:             warn,
			HasStatus:            true,
			ValidateStatusUpdate: validateStatusUpdate,
			Columns: append([]metav1.TableColumnDefinition{
				table.Name(), table.Column("Ready", "Number of the pod with ready state"), table.Age(),
			}, table.TemplateColumns()...),
			Cells: cells,
			Scale: &apiserver.ScaleRules[*appsv1.StatefulSet]{
				Get: func(s *appsv1.StatefulSet) (int32, int32, string) {
					return table.Value(s.Spec.Replicas), s.Status.Replicas, workload.SelectorString(s.Spec.Selector)
				},
				Set: func(s *appsv1.StatefulSet, replicas int32) { s.Spec.Replicas = &replicas },
			},
		})
}

func warn(_ context.Context, s, old *appsv1.StatefulSet) []string {
	if old != nil && s.Generation == old.Generation {
		return nil
	}
	all := warnings.Template(&s.Spec.Template, field.NewPath("spec", "template"))
	if table.Value(s.Spec.RevisionHistoryLimit) < 0 {
		all = append(all, "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended")
	}
	return all
}

func cells(s *appsv1.StatefulSet) []any {
	names, images := table.Template(&s.Spec.Template)
	return []any{fmt.Sprintf("%d/%d", s.Status.ReadyReplicas, table.Value(s.Spec.Replicas)), table.Since(s.CreationTimestamp), names, images}
}
