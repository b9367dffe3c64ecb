package check

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// NodeSelector requires at least one term, and right ones. With anyValue, values need not be such as a label can
// have: selectors from before that rule keep theirs.
func (l *List) NodeSelector(at *field.Path, s *corev1.NodeSelector, anyValue bool) {
	terms := at.Child("nodeSelectorTerms")
	if len(s.NodeSelectorTerms) == 0 {
		l.Required(terms, "must have at least one node selector term")
	}
	for i := range s.NodeSelectorTerms {
		l.NodeSelectorTerm(terms.Index(i), &s.NodeSelectorTerms[i], anyValue)
	}
}

// NodeSelectorTerm checks one term of a NodeSelector.
func (l *List) NodeSelectorTerm(at *field.Path, term *corev1.NodeSelectorTerm, anyValue bool) {
	for i := range term.MatchExpressions {
		l.nodeLabels(at.Child("matchExpressions").Index(i), &term.MatchExpressions[i], anyValue)
	}
	for i := range term.MatchFields {
		l.nodeFields(at.Child("matchFields").Index(i), &term.MatchFields[i])
	}
}

func (l *List) nodeLabels(at *field.Path, r *corev1.NodeSelectorRequirement, anyValue bool) {
	values := at.Child("values")
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) == 0 {
			l.Required(values, "must be specified when `operator` is 'In' or 'NotIn'")
		}
	case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			l.Forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
		}
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(r.Values) != 1 {
			l.Required(values, "must be specified single value when `operator` is 'Lt' or 'Gt'")
		}
	default:
		l.Invalid(at.Child("operator"), r.Operator, "not a valid selector operator")
	}
	l.LabelKey(at.Child("key"), r.Key)
	for i, v := range r.Values {
		if !anyValue {
			l.Each(values.Index(i), v, validation.IsValidLabelValue(v))
		}
	}
}

func (l *List) nodeFields(at *field.Path, r *corev1.NodeSelectorRequirement) {
	switch r.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		if len(r.Values) != 1 {
			l.Required(at.Child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector")
		}
	default:
		l.Invalid(at.Child("operator"), r.Operator, "not a valid selector operator")
	}
	if r.Key != metav1.ObjectNameField {
		l.Invalid(at.Child("key"), r.Key, "not a valid field selector key")
		return
	}
	for i, v := range r.Values {
		l.Subdomain(at.Child("values").Index(i), v)
	}
}
