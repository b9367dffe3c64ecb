// Package resourcequota is all that the server knows of ResourceQuotas: validation, what kubectl prints, what objects
// use, admission that refuses what is too much, and the controller that counts what there is. The rules of adding up
// are the library's.
package resourcequota

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"
)

// measure says what objects of one resource use, for kinds whose use is more than their number.
type measure struct {
	resource schema.GroupResource
	// matching are those of the names of a quota that this resource is charged for.
	matching func([]corev1.ResourceName) []corev1.ResourceName
	handles  func(admission.Attributes) bool
	usage    func(runtime.Object) (corev1.ResourceList, error)
	// scope says whether an object is within a scope; nil where there are no scopes.
	scope generic.MatchesScopeFunc
	// require refuses an object that does not say how much it needs; nil where none must.
	require func(required []corev1.ResourceName, obj runtime.Object) error
	// list is needed only to count what there is.
	list generic.ListFuncByNamespace
}

var _ quota.Evaluator = &measure{}

func (m *measure) inScope() generic.MatchesScopeFunc {
	if m.scope == nil {
		return generic.MatchesNoScopeFunc
	}
	return m.scope
}

// GroupResource implements quota.Evaluator.
func (m *measure) GroupResource() schema.GroupResource { return m.resource }

// Handles implements quota.Evaluator.
func (m *measure) Handles(a admission.Attributes) bool { return m.handles(a) }

// Constraints implements quota.Evaluator.
func (m *measure) Constraints(required []corev1.ResourceName, obj runtime.Object) error {
	if m.require == nil {
		return nil
	}
	return m.require(required, obj)
}

// Matches implements quota.Evaluator.
func (m *measure) Matches(q *corev1.ResourceQuota, obj runtime.Object) (bool, error) {
	return generic.Matches(q, obj, m.matching, m.inScope())
}

// MatchingScopes implements quota.Evaluator.
func (m *measure) MatchingScopes(obj runtime.Object, scopes []corev1.ScopedResourceSelectorRequirement) ([]corev1.ScopedResourceSelectorRequirement, error) {
	var within []corev1.ScopedResourceSelectorRequirement
	for _, s := range scopes {
		in, err := m.inScope()(s, obj)
		if err != nil {
			return nil, err
		}
		if in {
			within = append(within, s)
		}
	}
	return within, nil
}

// UncoveredQuotaScopes implements quota.Evaluator: nothing is limited unless a quota says so.
func (m *measure) UncoveredQuotaScopes([]corev1.ScopedResourceSelectorRequirement, []corev1.ScopedResourceSelectorRequirement) ([]corev1.ScopedResourceSelectorRequirement, error) {
	return nil, nil
}

// MatchingResources implements quota.Evaluator.
func (m *measure) MatchingResources(names []corev1.ResourceName) []corev1.ResourceName {
	return m.matching(names)
}

// Usage implements quota.Evaluator.
func (m *measure) Usage(obj runtime.Object) (corev1.ResourceList, error) { return m.usage(obj) }

// UsageStats implements quota.Evaluator.
func (m *measure) UsageStats(options quota.UsageStatsOptions) (quota.UsageStats, error) {
	return generic.CalculateUsageStats(options, m.list, m.inScope(), m.usage)
}

// oldNames are the names by which some resources could be counted before count/<resource> was there.
var oldNames = map[schema.GroupResource]corev1.ResourceName{
	corev1.Resource("configmaps"):             corev1.ResourceConfigMaps,
	corev1.Resource("resourcequotas"):         corev1.ResourceQuotas,
	corev1.Resource("replicationcontrollers"): corev1.ResourceReplicationControllers,
	corev1.Resource("secrets"):                corev1.ResourceSecrets,
}

// listFunc lists the objects of one resource; nil where nobody will ask.
type listFunc func(schema.GroupResource) generic.ListFuncByNamespace

// evaluator measures a resource.
func evaluator(gr schema.GroupResource, now clock, list listFunc) quota.Evaluator {
	var objects generic.ListFuncByNamespace
	if list != nil {
		objects = list(gr)
	}
	switch gr {
	case pods:
		return podMeasure(now, objects)
	case services:
		return serviceMeasure(objects)
	case claims:
		return claimMeasure(objects)
	case deviceClaims:
		return deviceMeasure(objects)
	}
	return generic.NewObjectCountEvaluator(gr, objects, oldNames[gr])
}

// ignored are never counted: they are not stored, or come and go by themselves.
func ignored(gr schema.GroupResource) bool {
	switch gr.Group {
	case "authentication.k8s.io", "authorization.k8s.io":
		return true
	case "", "events.k8s.io":
		return gr.Resource == "events" || gr.Resource == "bindings" || gr.Resource == "componentstatuses"
	}
	return false
}
