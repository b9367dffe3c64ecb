package admissionregistration

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// requireKnown is check.Known behind a check that there is a value.
func requireKnown[T ~string](l *check.List, at *field.Path, value *T, all ...T) {
	if value == nil {
		l.Required(at, "")
		return
	}
	check.Known(l, at, *value, all...)
}

func checkMatch(l *check.List, at *field.Path, m *admissionv1.MatchResources) {
	if m == nil {
		return
	}
	requireKnown(l, at.Child("matchPolicy"), m.MatchPolicy, admissionv1.Exact, admissionv1.Equivalent)
	if m.NamespaceSelector == nil {
		l.Required(at.Child("namespaceSelector"), "")
	}
	if m.ObjectSelector == nil {
		l.Required(at.Child("objectSelector"), "")
	}
	strict := metav1validation.LabelSelectorValidationOptions{}
	l.Add(metav1validation.ValidateLabelSelector(m.NamespaceSelector, strict, at.Child("namespaceSelector"))...)
	l.Add(metav1validation.ValidateLabelSelector(m.ObjectSelector, strict, at.Child("objectSelector"))...)
	for i := range m.ResourceRules {
		checkNamedRule(l, at.Child("resourceRules").Index(i), &m.ResourceRules[i])
	}
	for i := range m.ExcludeResourceRules {
		checkNamedRule(l, at.Child("excludeResourceRules").Index(i), &m.ExcludeResourceRules[i])
	}
}

func checkNamedRule(l *check.List, at *field.Path, r *admissionv1.NamedRuleWithOperations) {
	seen := sets.Set[string]{}
	for i, name := range r.ResourceNames {
		here := at.Child("resourceNames").Index(i)
		l.Each(here, name, content.IsPathSegmentName(name))
		if seen.Has(name) {
			l.Duplicate(here, name)
		}
		seen.Insert(name)
	}
	checkRule(l, at, &r.RuleWithOperations)
}

func checkRule(l *check.List, at *field.Path, r *admissionv1.RuleWithOperations) {
	operations := at.Child("operations")
	if len(r.Operations) == 0 {
		l.Required(operations, "")
	}
	if len(r.Operations) > 1 && slices.Contains(r.Operations, admissionv1.OperationAll) {
		l.Invalid(operations, r.Operations, "if '*' is present, must not specify other operations")
	}
	for i, o := range r.Operations {
		check.Known(l, operations.Index(i), o, admissionv1.OperationAll, admissionv1.Create, admissionv1.Update, admissionv1.Delete, admissionv1.Connect)
	}
	alone(l, at.Child("apiGroups"), r.APIGroups, "API groups")
	alone(l, at.Child("apiVersions"), r.APIVersions, "API versions")
	for i, version := range r.APIVersions {
		if version == "" {
			l.Required(at.Child("apiVersions").Index(i), "")
		}
	}
	checkResources(l, at.Child("resources"), r.Resources)
	check.KnownPtr(l, at.Child("scope"), r.Scope, admissionv1.ClusterScope, admissionv1.NamespacedScope, admissionv1.AllScopes)
}

// alone requires a list that holds nothing else where it holds "*".
func alone(l *check.List, at *field.Path, list []string, what string) {
	if len(list) == 0 {
		l.Required(at, "")
	}
	if len(list) > 1 && slices.Contains(list, "*") {
		l.Invalid(at, list, "if '*' is present, must not specify other "+what)
	}
}

// checkResources refuses resources that another of the list takes in: x/* beside x/y.
func checkResources(l *check.List, at *field.Path, resources []string) {
	if len(resources) == 0 {
		l.Required(at, "")
	}
	allOf, inAll := sets.Set[string]{}, sets.Set[string]{} // x of x/*, y of */y
	plain := false
	for i, resource := range resources {
		if resource == "" {
			l.Required(at.Index(i), "")
			continue
		}
		name, sub, divided := strings.Cut(resource, "/")
		if !divided {
			plain = resource != "*"
			continue
		}
		if allOf.Has(name) {
			l.Invalid(at.Index(i), resource, fmt.Sprintf("if '%s/*' is present, must not specify %s", name, resource))
		}
		if inAll.Has(sub) {
			l.Invalid(at.Index(i), resource, fmt.Sprintf("if '*/%s' is present, must not specify %s", sub, resource))
		}
		if sub == "*" {
			allOf.Insert(name)
		}
		if name == "*" {
			inAll.Insert(sub)
		}
	}
	if len(resources) > 1 && slices.Contains(resources, "*/*") {
		l.Invalid(at, resources, "if '*/*' is present, must not specify other resources")
	}
	if plain && slices.Contains(resources, "*") {
		l.Invalid(at, resources, "if '*' is present, must not specify other resources without subresources")
	}
}

const maxMatchConditions = 64

func checkConditions(l *check.List, at *field.Path, conditions []admissionv1.MatchCondition, e *expressions) {
	if len(conditions) > maxMatchConditions {
		l.Add(field.TooMany(at, len(conditions), maxMatchConditions))
	}
	seen := sets.Set[string]{}
	for i, c := range conditions {
		here := at.Index(i)
		if expression := strings.TrimSpace(c.Expression); expression == "" {
			l.Required(here.Child("expression"), "")
		} else {
			e.condition(l, here.Child("expression"), expression)
		}
		if c.Name == "" {
			l.Required(here.Child("name"), "")
			continue
		}
		l.Qualified(here.Child("name"), c.Name)
		if seen.Has(c.Name) {
			l.Duplicate(here.Child("name"), c.Name)
		}
		seen.Insert(c.Name)
	}
}
