package resourcequota

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/quantity"
)

func validate(_ context.Context, q *corev1.ResourceQuota) field.ErrorList {
	var l check.List
	spec(&l, &q.Spec)
	return l.Errors()
}

func validateUpdate(ctx context.Context, q, old *corev1.ResourceQuota) field.ErrorList {
	var l check.List
	spec(&l, &q.Spec)
	if !sets.New(q.Spec.Scopes...).Equal(sets.New(old.Spec.Scopes...)) {
		l.Invalid(field.NewPath("spec", "scopes"), q.Spec.Scopes, "field is immutable")
	}
	return l.Errors()
}

func validateStatusUpdate(_ context.Context, q, _ *corev1.ResourceQuota) field.ErrorList {
	var l check.List
	if q.ResourceVersion == "" {
		l.Required(field.NewPath("resourceVersion"), "")
	}
	amounts(&l, field.NewPath("status", "hard"), q.Status.Hard)
	amounts(&l, field.NewPath("status", "used"), q.Status.Used)
	return l.Errors()
}

func spec(l *check.List, s *corev1.ResourceQuotaSpec) {
	at := field.NewPath("spec")
	amounts(l, at.Child("hard"), s.Hard)
	scopes(l, at.Child("scopes"), s)
	if s.ScopeSelector != nil {
		selector(l, at.Child("scopeSelector", "matchExpressions"), s)
	}
}

func amounts(l *check.List, at *field.Path, list corev1.ResourceList) {
	for _, name := range sets.List(sets.KeySet(list)) {
		here := at.Key(string(name))
		known := quantity.CheckName(l, here, name) && name != corev1.ResourceStorage // quotas bound requests.storage
		if !known && !strings.Contains(string(name), "/") {
			l.Invalid(here, name, "must be a standard resource for quota")
		}
		quantity.Check(l, here, name, list[name])
	}
}

const (
	terminating, notTerminating = corev1.ResourceQuotaScopeTerminating, corev1.ResourceQuotaScopeNotTerminating
	bestEffort, notBestEffort   = corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeNotBestEffort
	acrossNamespaces            = corev1.ResourceQuotaScopeCrossNamespacePodAffinity
)

var allScopes = []corev1.ResourceQuotaScope{terminating, notTerminating, bestEffort, notBestEffort,
	corev1.ResourceQuotaScopePriorityClass, corev1.ResourceQuotaScopeVolumeAttributesClass, acrossNamespaces}

// scopes checks the plain list: each scope is known and goes with all that is bounded.
func scopes(l *check.List, at *field.Path, s *corev1.ResourceQuotaSpec) {
	for _, scope := range s.Scopes {
		if !slices.Contains(allScopes, scope) {
			l.Invalid(at, s.Scopes, "unsupported scope")
		}
		for _, name := range sets.List(sets.KeySet(s.Hard)) {
			if !applies(scope, name) {
				l.Invalid(at, s.Scopes, "unsupported scope applied to resource")
			}
		}
	}
	conflicts(l, at, s, s.Scopes)
}

func conflicts(l *check.List, at *field.Path, s *corev1.ResourceQuotaSpec, chosen []corev1.ResourceQuotaScope) {
	for _, pair := range [][2]corev1.ResourceQuotaScope{{bestEffort, notBestEffort}, {terminating, notTerminating}} {
		if slices.Contains(chosen, pair[0]) && slices.Contains(chosen, pair[1]) {
			l.Invalid(at, s.Scopes, "conflicting scopes")
		}
	}
}

var computeNames = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory,
	corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory}

// applies says whether what a standard name bounds can be within a scope. Other names go with every scope.
func applies(scope corev1.ResourceQuotaScope, name corev1.ResourceName) bool {
	if !isStandard(name) {
		return true
	}
	switch scope {
	case terminating, notTerminating, notBestEffort, corev1.ResourceQuotaScopePriorityClass, acrossNamespaces:
		return name == corev1.ResourcePods || slices.Contains(computeNames, name)
	case bestEffort:
		return name == corev1.ResourcePods
	case corev1.ResourceQuotaScopeVolumeAttributesClass:
		return name == corev1.ResourcePersistentVolumeClaims || name == corev1.ResourceRequestsStorage
	}
	return true
}

// isStandard: names without a domain are the standard ones, for amounts has refused any other.
func isStandard(name corev1.ResourceName) bool {
	return !strings.Contains(string(name), "/") && name != corev1.ResourceStorage
}

func selector(l *check.List, at *field.Path, s *corev1.ResourceQuotaSpec) {
	var chosen []corev1.ResourceQuotaScope
	for _, r := range s.ScopeSelector.MatchExpressions {
		if !slices.Contains(allScopes, r.ScopeName) {
			l.Invalid(at.Child("scopeName"), r.ScopeName, "unsupported scope")
		}
		for _, name := range sets.List(sets.KeySet(s.Hard)) {
			if !applies(r.ScopeName, name) {
				l.Invalid(at, s.ScopeSelector, "unsupported scope applied to resource")
			}
		}
		requirement(l, at, &r)
		chosen = append(chosen, r.ScopeName)
	}
	conflicts(l, at, s, chosen)
}

func requirement(l *check.List, at *field.Path, r *corev1.ScopedResourceSelectorRequirement) {
	switch r.ScopeName {
	case bestEffort, notBestEffort, terminating, notTerminating, acrossNamespaces:
		if r.Operator != corev1.ScopeSelectorOpExists {
			l.Invalid(at.Child("operator"), r.Operator, "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "+
				"ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity")
		}
	}
	switch r.Operator {
	case corev1.ScopeSelectorOpIn, corev1.ScopeSelectorOpNotIn:
		if len(r.Values) == 0 {
			l.Required(at.Child("values"), "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector")
		}
	case corev1.ScopeSelectorOpExists, corev1.ScopeSelectorOpDoesNotExist:
		if len(r.Values) > 0 {
			l.Invalid(at.Child("values"), r.Values, "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector")
		}
	default:
		l.Invalid(at.Child("operator"), r.Operator, "not a valid selector operator")
	}
}
