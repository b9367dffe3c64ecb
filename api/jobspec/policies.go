package jobspec

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
)

const (
	mostRules         = 20 // of either policy
	mostExitCodes     = 255
	mostPodConditions = 20
	longestIndexes    = 64 * 1024
)

var (
	actions = []batchv1.PodFailurePolicyAction{batchv1.PodFailurePolicyActionCount, batchv1.PodFailurePolicyActionFailIndex,
		batchv1.PodFailurePolicyActionFailJob, batchv1.PodFailurePolicyActionIgnore}
	operators = []batchv1.PodFailurePolicyOnExitCodesOperator{batchv1.PodFailurePolicyOnExitCodesOpIn, batchv1.PodFailurePolicyOnExitCodesOpNotIn}
	statuses  = []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown}
)

// choice requires one of all; without any it lists them.
func choice[T ~string](l *check.List, at *field.Path, value T, all []T) {
	if value == "" {
		l.Required(at, fmt.Sprintf("valid values: %q", all))
		return
	}
	check.Known(l, at, value, all...)
}

func failurePolicy(l *check.List, at *field.Path, s *batchv1.JobSpec) {
	rules := s.PodFailurePolicy.Rules
	if len(rules) > mostRules {
		l.Add(field.TooMany(at, len(rules), mostRules))
	}
	names := sets.Set[string]{}
	for _, containers := range [][]corev1.Container{s.Template.Spec.Containers, s.Template.Spec.InitContainers} {
		for _, c := range containers {
			names.Insert(c.Name)
		}
	}
	for i := range rules {
		here, rule := at.Index(i), &rules[i]
		if rule.Action == batchv1.PodFailurePolicyActionFailIndex && s.BackoffLimitPerIndex == nil {
			l.Invalid(here.Child("action"), rule.Action, "requires the backoffLimitPerIndex to be set")
		} else {
			choice(l, here.Child("action"), rule.Action, actions)
		}
		if rule.OnExitCodes != nil {
			exitCodes(l, here.Child("onExitCodes"), rule.OnExitCodes, names)
		}
		podConditions(l, here.Child("onPodConditions"), rule.OnPodConditions)
		switch hasConditions := len(rule.OnPodConditions) > 0; {
		case rule.OnExitCodes != nil && hasConditions:
			l.Invalid(here, field.OmitValueType{}, "specifying both OnExitCodes and OnPodConditions is not supported")
		case rule.OnExitCodes == nil && !hasConditions:
			l.Invalid(here, field.OmitValueType{}, "specifying one of OnExitCodes and OnPodConditions is required")
		}
	}
}

func podConditions(l *check.List, at *field.Path, patterns []batchv1.PodFailurePolicyOnPodConditionsPattern) {
	if len(patterns) > mostPodConditions {
		l.Add(field.TooMany(at, len(patterns), mostPodConditions))
	}
	for i, p := range patterns {
		l.Qualified(at.Index(i).Child("type"), string(p.Type))
		choice(l, at.Index(i).Child("status"), p.Status, statuses)
	}
}

func exitCodes(l *check.List, at *field.Path, r *batchv1.PodFailurePolicyOnExitCodesRequirement, containers sets.Set[string]) {
	choice(l, at.Child("operator"), r.Operator, operators)
	if r.ContainerName != nil && !containers.Has(*r.ContainerName) {
		l.Invalid(at.Child("containerName"), *r.ContainerName, "must be one of the container or initContainer names in the pod template")
	}
	values := at.Child("values")
	if len(r.Values) == 0 {
		l.Invalid(values, r.Values, "at least one value is required")
	} else if len(r.Values) > mostExitCodes {
		l.Add(field.TooMany(values, len(r.Values), mostExitCodes))
	}
	seen := sets.Set[int32]{}
	for i, code := range r.Values {
		if code == 0 && r.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn {
			l.Invalid(values.Index(i), code, "must not be 0 for the In operator")
		}
		if seen.Has(code) {
			l.Duplicate(values.Index(i), code)
		}
		seen.Insert(code)
	}
	if !slices.IsSorted(r.Values) {
		l.Invalid(values, r.Values, "must be ordered")
	}
}

func successPolicy(l *check.List, at *field.Path, s *batchv1.JobSpec) {
	if !IsIndexed(s) {
		l.Invalid(at, *s.SuccessPolicy, "requires indexed completion mode")
		return
	}
	at = at.Child("rules")
	rules := s.SuccessPolicy.Rules
	if len(rules) == 0 {
		l.Required(at, "at least one rules must be specified when the successPolicy is specified")
	}
	if len(rules) > mostRules {
		l.Add(field.TooMany(at, len(rules), mostRules))
	}
	for i := range rules {
		successRule(l, at.Index(i), &rules[i], table.Value(s.Completions))
	}
}

func successRule(l *check.List, at *field.Path, r *batchv1.SuccessPolicyRule, completions int32) {
	if r.SucceededCount == nil && r.SucceededIndexes == nil {
		l.Required(at, "at least one of succeededCount or succeededIndexes must be specified")
	}
	total := int32(0)
	if r.SucceededIndexes != nil {
		here := at.Child("succeededIndexes")
		if len(*r.SucceededIndexes) > longestIndexes {
			l.Add(field.TooLong(here, "", longestIndexes))
		}
		intervals, err := ParseIndexes(*r.SucceededIndexes, completions)
		if err != nil {
			l.Invalid(here, *r.SucceededIndexes, "error parsing succeededIndexes: "+err.Error())
		}
		total = intervals.Total()
	}
	if r.SucceededCount == nil {
		return
	}
	here, count := at.Child("succeededCount"), *r.SucceededCount
	l.NonNegative(here, int64(count))
	if count > completions {
		l.Invalid(here, count, fmt.Sprintf("must be less than or equal to %d (the number of specified completions)", completions))
	}
	if r.SucceededIndexes != nil && count > total {
		l.Invalid(here, count, fmt.Sprintf("must be less than or equal to %d (the number of indexes in the specified succeededIndexes field)", total))
	}
}
