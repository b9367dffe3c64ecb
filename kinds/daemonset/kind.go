// Package daemonset is all that the server knows of DaemonSets: defaults, validation and what kubectl prints.
package daemonset

import (
	"context"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/podspec"
	"dhow/api/table"
	"dhow/api/warnings"
	"dhow/apiserver"
)

// Kind defines DaemonSets.
func Kind() apiserver.Kind {
	return apiserver.Define[*appsv1.DaemonSet, *appsv1.DaemonSetList](appsv1.SchemeGroupVersion,
		apiserver.Names{Kind: "DaemonSet", Resource: "daemonsets", ShortNames: []string{"ds"}, Categories: []string{"all"}},
		apiserver.Rules[*appsv1.DaemonSet]{
			Default: Default,
			PrepareForCreate: func(_ context.Context, d *appsv1.DaemonSet) {
				podspec.DropDisabled(&d.Spec.Template.Spec, nil)
				countTemplate(d, nil)
			},
			PrepareForUpdate: func(_ context.Context, d, old *appsv1.DaemonSet) {
				podspec.DropDisabled(&d.Spec.Template.Spec, &old.Spec.Template.Spec)
				countTemplate(d, old)
			},
			Validate:       validate,
			ValidateUpdate: validateUpdate,
			Warnings: func(_ context.Context, d, old *appsv1.DaemonSet) []string {
				if old != nil && d.Generation == old.Generation {
					return nil
				}
				return warnings.Template(&d.Spec.Template, field.NewPath("spec", "template"))
			},
			HasStatus:            true,
			ValidateStatusUpdate: validateStatusUpdate,
			Columns:              columns(),
			Cells:                cells,
		})
}

// countTemplate counts the changes of the template in the annotation that took the place of spec.templateGeneration.
func countTemplate(d, old *appsv1.DaemonSet) {
	count := int64(1)
	if old != nil {
		count, _ = strconv.ParseInt(old.Annotations[appsv1.DeprecatedTemplateGeneration], 10, 64)
		if !equality.Semantic.DeepEqual(d.Spec.Template, old.Spec.Template) {
			count++
		}
	}
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[appsv1.DeprecatedTemplateGeneration] = strconv.FormatInt(count, 10)
}

// Default fills what a DaemonSet leaves open.
func Default(d *appsv1.DaemonSet) {
	s := &d.Spec
	fill(&s.RevisionHistoryLimit, 10)
	if s.UpdateStrategy.Type == "" {
		s.UpdateStrategy.Type = appsv1.RollingUpdateDaemonSetStrategyType
	}
	if s.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		fill(&s.UpdateStrategy.RollingUpdate, appsv1.RollingUpdateDaemonSet{})
		fill(&s.UpdateStrategy.RollingUpdate.MaxUnavailable, intstr.FromInt32(1))
		fill(&s.UpdateStrategy.RollingUpdate.MaxSurge, intstr.FromInt32(0))
	}
	podspec.Default(&s.Template.Spec)
}

func fill[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func columns() []metav1.TableColumnDefinition {
	doc := appsv1.DaemonSetStatus{}.SwaggerDoc()
	return append([]metav1.TableColumnDefinition{
		table.Name(),
		table.Number("Desired", doc["desiredNumberScheduled"]),
		table.Number("Current", doc["currentNumberScheduled"]),
		table.Number("Ready", doc["numberReady"]),
		table.Number("Up-to-date", doc["updatedNumberScheduled"]),
		table.Number("Available", doc["numberAvailable"]),
		table.Column("Node Selector", "Selector which must match a node's labels for the pod to be scheduled on that node."),
		table.Age(),
	}, append(table.TemplateColumns(), table.Wide("Selector", appsv1.DaemonSetSpec{}.SwaggerDoc()["selector"]))...)
}

func cells(d *appsv1.DaemonSet) []any {
	names, images := table.Template(&d.Spec.Template)
	s := d.Status
	return []any{
		int64(s.DesiredNumberScheduled), int64(s.CurrentNumberScheduled), int64(s.NumberReady), int64(s.UpdatedNumberScheduled),
		int64(s.NumberAvailable), labels.FormatLabels(d.Spec.Template.Spec.NodeSelector), table.Since(d.CreationTimestamp),
		names, images, metav1.FormatLabelSelector(d.Spec.Selector),
	}
}
