// Package poddisruptionbudget is all that the server knows of PodDisruptionBudgets: validation and what kubectl
// prints. It counts no pods.
package poddisruptionbudget

import (
	"context"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	unversioned "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/api/workload"
	"dhow/apiserver"
)

// Kind defines PodDisruptionBudgets.
func Kind() apiserver.Kind {
	return apiserver.Define[*policyv1.PodDisruptionBudget, *policyv1.PodDisruptionBudgetList](policyv1.SchemeGroupVersion,
		apiserver.Names{Kind: "PodDisruptionBudget", Resource: "poddisruptionbudgets", ShortNames: []string{"pdb"}},
		apiserver.Rules[*policyv1.PodDisruptionBudget]{
			RequireResourceVersion: true,
			Validate: func(_ context.Context, b *policyv1.PodDisruptionBudget) field.ErrorList {
				return validate(b, unversioned.LabelSelectorValidationOptions{})
			},
			ValidateUpdate:       validateUpdate,
			HasStatus:            true,
			ValidateStatusUpdate: validateStatusUpdate,
			Columns: []metav1.TableColumnDefinition{
				table.Name(),
				table.Column("Min Available", "The minimum number of pods that must be available."),
				table.Column("Max Unavailable", "The maximum number of pods that may be unavailable."),
				table.Number("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time."),
				table.Age(),
			},
			Cells: func(b *policyv1.PodDisruptionBudget) []any {
				return []any{amount(b.Spec.MinAvailable), amount(b.Spec.MaxUnavailable), int64(b.Status.DisruptionsAllowed), table.Since(b.CreationTimestamp)}
			},
		})
}

func amount(n *intstr.IntOrString) string {
	if n == nil {
		return "N/A"
	}
	return n.String()
}

func validate(b *policyv1.PodDisruptionBudget, selector unversioned.LabelSelectorValidationOptions) field.ErrorList {
	var l check.List
	at, s := field.NewPath("spec"), &b.Spec
	if s.MinAvailable != nil && s.MaxUnavailable != nil {
		l.Invalid(at, *s, "minAvailable and maxUnavailable cannot be both set")
	}
	for _, bound := range []struct {
		name  string
		value *intstr.IntOrString
	}{{"minAvailable", s.MinAvailable}, {"maxUnavailable", s.MaxUnavailable}} {
		if bound.value != nil {
			workload.IntOrPercent(&l, at.Child(bound.name), *bound.value)
			workload.AtMostAll(&l, at.Child(bound.name), *bound.value)
		}
	}
	l.Add(unversioned.ValidateLabelSelector(s.Selector, selector, at.Child("selector"))...)
	check.KnownPtr(&l, at.Child("unhealthyPodEvictionPolicy"), s.UnhealthyPodEvictionPolicy, policyv1.AlwaysAllow, policyv1.IfHealthyBudget)
	return l.Errors()
}

// validateUpdate lets a selector that was wrong before it was checked go on being so.
func validateUpdate(_ context.Context, b, old *policyv1.PodDisruptionBudget) field.ErrorList {
	strict := unversioned.LabelSelectorValidationOptions{}
	wasWrong := len(unversioned.ValidateLabelSelector(old.Spec.Selector, strict, nil)) > 0
	return validate(b, unversioned.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: wasWrong})
}

func validateStatusUpdate(_ context.Context, b, _ *policyv1.PodDisruptionBudget) field.ErrorList {
	var l check.List
	at, s := field.NewPath("status"), &b.Status
	l.Add(unversioned.ValidateConditions(s.Conditions, at.Child("conditions"))...)
	l.NonNegative(at.Child("disruptionsAllowed"), int64(s.DisruptionsAllowed))
	l.NonNegative(at.Child("currentHealthy"), int64(s.CurrentHealthy))
	l.NonNegative(at.Child("desiredHealthy"), int64(s.DesiredHealthy))
	l.NonNegative(at.Child("expectedPods"), int64(s.ExpectedPods))
	return l.Errors()
}
