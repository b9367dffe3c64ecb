package admissionregistration

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fill makes p point at value where it points nowhere.
func fill[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func defaultValidatingWebhooks(c *admissionv1.ValidatingWebhookConfiguration) {
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		fill(&w.FailurePolicy, admissionv1.Fail)
		fill(&w.MatchPolicy, admissionv1.Equivalent)
		fill(&w.NamespaceSelector, metav1.LabelSelector{})
		fill(&w.ObjectSelector, metav1.LabelSelector{})
		fill(&w.TimeoutSeconds, 10)
		defaultCall(&w.ClientConfig, w.Rules)
	}
}

func defaultMutatingWebhooks(c *admissionv1.MutatingWebhookConfiguration) {
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		fill(&w.FailurePolicy, admissionv1.Fail)
		fill(&w.MatchPolicy, admissionv1.Equivalent)
		fill(&w.NamespaceSelector, metav1.LabelSelector{})
		fill(&w.ObjectSelector, metav1.LabelSelector{})
		fill(&w.TimeoutSeconds, 10)
		fill(&w.ReinvocationPolicy, admissionv1.NeverReinvocationPolicy)
		defaultCall(&w.ClientConfig, w.Rules)
	}
}

func defaultCall(c *admissionv1.WebhookClientConfig, rules []admissionv1.RuleWithOperations) {
	if c.Service != nil {
		fill(&c.Service.Port, 443)
	}
	for i := range rules {
		fill(&rules[i].Scope, admissionv1.AllScopes)
	}
}

func defaultPolicy(failure **admissionv1.FailurePolicyType, match *admissionv1.MatchResources) {
	fill(failure, admissionv1.Fail)
	defaultMatch(match)
}

func defaultMatch(m *admissionv1.MatchResources) {
	if m == nil {
		return
	}
	fill(&m.MatchPolicy, admissionv1.Equivalent)
	fill(&m.NamespaceSelector, metav1.LabelSelector{})
	fill(&m.ObjectSelector, metav1.LabelSelector{})
	for _, rules := range [][]admissionv1.NamedRuleWithOperations{m.ResourceRules, m.ExcludeResourceRules} {
		for i := range rules {
			fill(&rules[i].Scope, admissionv1.AllScopes)
		}
	}
}

// generation rises when what users write has changed; these kinds have no status that would make the server do it.
func generation(was int64, now, before any) int64 {
	if apiequality.Semantic.DeepEqual(now, before) {
		return was
	}
	return was + 1
}
