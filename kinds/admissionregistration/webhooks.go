package admissionregistration

import (
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/util/webhook"

	"dhow/api/check"
)

// hook is a webhook of either kind; reinvocation is the mutating ones' alone.
type hook struct {
	admissionv1.ValidatingWebhook
	reinvocation *admissionv1.ReinvocationPolicyType
}

func ofValidating(c *admissionv1.ValidatingWebhookConfiguration) []hook {
	all := []hook{}
	for _, w := range c.Webhooks {
		all = append(all, hook{ValidatingWebhook: w})
	}
	return all
}

func ofMutating(c *admissionv1.MutatingWebhookConfiguration) []hook {
	all := []hook{}
	for _, w := range c.Webhooks {
		all = append(all, hook{admissionv1.ValidatingWebhook{
			Name: w.Name, ClientConfig: w.ClientConfig, Rules: w.Rules, FailurePolicy: w.FailurePolicy, MatchPolicy: w.MatchPolicy,
			NamespaceSelector: w.NamespaceSelector, ObjectSelector: w.ObjectSelector, SideEffects: w.SideEffects,
			TimeoutSeconds: w.TimeoutSeconds, AdmissionReviewVersions: w.AdmissionReviewVersions, MatchConditions: w.MatchConditions,
		}, w.ReinvocationPolicy})
	}
	return all
}

// reviewVersions are those of AdmissionReview that this server can send.
var reviewVersions = []string{"v1", "v1beta1"}

// validateWebhooks checks a configuration. What rules have become stricter about since old was accepted is let pass
// if old has it, too.
func validateWebhooks(hooks, old []hook) field.ErrorList {
	var l check.List
	e := newExpressions(false, storedConditions(old))
	unchanged := old != nil && slices.EqualFunc(hooks, old, func(a, b hook) bool {
		return apiequality.Semantic.DeepEqual(a.MatchConditions, b.MatchConditions)
	})
	lenient := metav1validation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: anyHook(old, hasBadSelector)}
	names := sets.Set[string]{}
	for i := range hooks {
		w, at := &hooks[i], field.NewPath("webhooks").Index(i)
		l.Add(validation.IsFullyQualifiedName(at.Child("name"), w.Name)...)
		for j := range w.Rules {
			checkRule(&l, at.Child("rules").Index(j), &w.Rules[j])
		}
		checkBehaviour(&l, at, w, anyHook(old, hasSideEffects))
		l.Add(metav1validation.ValidateLabelSelector(w.NamespaceSelector, lenient, at.Child("namespaceSelector"))...)
		l.Add(metav1validation.ValidateLabelSelector(w.ObjectSelector, lenient, at.Child("objectSelector"))...)
		checkClient(&l, at.Child("clientConfig"), &w.ClientConfig)
		if !unchanged {
			checkConditions(&l, at.Child("matchConditions"), w.MatchConditions, e)
		}
		checkReviewVersions(&l, at.Child("admissionReviewVersions"), w.AdmissionReviewVersions, anyHook(old, hasNoKnownVersion))
		if names.Has(w.Name) && w.Name != "" && uniqueNames(old) {
			l.Duplicate(at.Child("name"), w.Name)
		}
		names.Insert(w.Name)
	}
	return l.Errors()
}

func checkBehaviour(l *check.List, at *field.Path, w *hook, anySideEffects bool) {
	check.KnownPtr(l, at.Child("failurePolicy"), w.FailurePolicy, admissionv1.Ignore, admissionv1.Fail)
	check.KnownPtr(l, at.Child("matchPolicy"), w.MatchPolicy, admissionv1.Exact, admissionv1.Equivalent)
	check.KnownPtr(l, at.Child("reinvocationPolicy"), w.reinvocation, admissionv1.NeverReinvocationPolicy, admissionv1.IfNeededReinvocationPolicy)
	allowed := []admissionv1.SideEffectClass{admissionv1.SideEffectClassNone, admissionv1.SideEffectClassNoneOnDryRun}
	if anySideEffects {
		allowed = append(allowed, admissionv1.SideEffectClassSome, admissionv1.SideEffectClassUnknown)
	}
	if w.SideEffects == nil {
		var words []string
		for _, s := range allowed {
			words = append(words, string(s))
		}
		l.Required(at.Child("sideEffects"), "must specify one of "+strings.Join(words, ", "))
	}
	check.KnownPtr(l, at.Child("sideEffects"), w.SideEffects, allowed...)
	if s := w.TimeoutSeconds; s != nil && (*s > 30 || *s < 1) {
		l.Invalid(at.Child("timeoutSeconds"), *s, "the timeout value must be between 1 and 30 seconds")
	}
}

func checkClient(l *check.List, at *field.Path, c *admissionv1.WebhookClientConfig) {
	switch {
	case (c.URL == nil) == (c.Service == nil):
		l.Required(at, "exactly one of url or service is required")
	case c.URL != nil:
		l.Add(webhook.ValidateWebhookURL(at.Child("url"), *c.URL, true)...)
	default:
		port := int32(443)
		if c.Service.Port != nil {
			port = *c.Service.Port
		}
		l.Add(webhook.ValidateWebhookService(at.Child("service"), c.Service.Namespace, c.Service.Name, c.Service.Path, port)...)
	}
}

func checkReviewVersions(l *check.List, at *field.Path, versions []string, anyVersion bool) {
	if len(versions) == 0 {
		l.Required(at, "must specify one of "+strings.Join(reviewVersions, ", "))
		return
	}
	seen := sets.Set[string]{}
	for i, v := range versions {
		if seen.Has(v) {
			l.Invalid(at.Index(i), v, "duplicate version")
			continue
		}
		seen.Insert(v)
		l.Each(at.Index(i), v, validation.IsDNS1035Label(v))
	}
	if !anyVersion && !seen.HasAny(reviewVersions...) {
		l.Invalid(at, versions, "must include at least one of "+strings.Join(reviewVersions, ", "))
	}
}

func anyHook(hooks []hook, has func(*hook) bool) bool {
	return slices.ContainsFunc(hooks, func(h hook) bool { return has(&h) })
}

func hasSideEffects(w *hook) bool {
	return w.SideEffects == nil || *w.SideEffects != admissionv1.SideEffectClassNone && *w.SideEffects != admissionv1.SideEffectClassNoneOnDryRun
}

func hasNoKnownVersion(w *hook) bool {
	return len(w.AdmissionReviewVersions) > 0 && !sets.New(w.AdmissionReviewVersions...).HasAny(reviewVersions...)
}

func hasBadSelector(w *hook) bool {
	strict := metav1validation.LabelSelectorValidationOptions{}
	return slices.ContainsFunc([]*metav1.LabelSelector{w.NamespaceSelector, w.ObjectSelector}, func(s *metav1.LabelSelector) bool {
		return len(metav1validation.ValidateLabelSelector(s, strict, nil)) > 0
	})
}

func uniqueNames(hooks []hook) bool {
	names := sets.Set[string]{}
	for _, w := range hooks {
		names.Insert(w.Name)
	}
	return len(names) == len(hooks)
}

func storedConditions(hooks []hook) sets.Set[string] {
	stored := sets.Set[string]{}
	for _, w := range hooks {
		for _, c := range w.MatchConditions {
			stored.Insert(c.Expression)
		}
	}
	return stored
}
