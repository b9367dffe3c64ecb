// Package podtemplate is all that the server knows of PodTemplates: defaults, validation and what kubectl prints.
package podtemplate

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/podspec"
	"dhow/api/table"
	"dhow/api/warnings"
	"dhow/apiserver"
)

// Kind defines PodTemplates.
func Kind() apiserver.Kind {
	return apiserver.Define[*corev1.PodTemplate, *corev1.PodTemplateList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "PodTemplate", Resource: "podtemplates"},
		apiserver.Rules[*corev1.PodTemplate]{
			Default: func(p *corev1.PodTemplate) { podspec.Default(&p.Template.Spec) },
			PrepareForCreate: func(_ context.Context, p *corev1.PodTemplate) {
				p.Generation = 1
				podspec.DropDisabled(&p.Template.Spec, nil)
			},
			PrepareForUpdate: func(_ context.Context, p, old *corev1.PodTemplate) {
				podspec.DropDisabled(&p.Template.Spec, &old.Template.Spec)
				if !apiequality.Semantic.DeepEqual(p.Template, old.Template) {
					p.Generation = old.Generation + 1
				}
			},
			Validate: validate,
			ValidateUpdate: func(ctx context.Context, p, _ *corev1.PodTemplate) field.ErrorList {
				return validate(ctx, p)
			},
			Warnings: func(_ context.Context, p, old *corev1.PodTemplate) []string {
				if old != nil && p.Generation == old.Generation {
					return nil
				}
				return warnings.Template(&p.Template, field.NewPath("template"))
			},
			Columns: []metav1.TableColumnDefinition{
				table.Name(),
				table.Column("Containers", "Names of each container in the template."),
				table.Column("Images", "Images referenced by each container in the template."),
				table.Column("Pod Labels", "The labels for the pod template."),
			},
			Cells: func(p *corev1.PodTemplate) []any {
				names, images := table.Template(&p.Template)
				return []any{names, images, labels.FormatLabels(p.Template.Labels)}
			},
		})
}

func validate(_ context.Context, p *corev1.PodTemplate) field.ErrorList {
	return podspec.ValidateTemplate(&p.Template, field.NewPath("template"))
}
