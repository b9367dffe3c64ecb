package horizontalpodautoscaler

import (
	"context"
	"errors"
	"slices"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/quantity"
	"dhow/api/table"
)

// Bounds of a behaviour, in seconds.
const (
	longestPeriod = 1800
	longestWindow = 3600
)

func validate(_ context.Context, a *hpa) field.ErrorList { return spec(a, nil) }

func validateUpdate(_ context.Context, a, old *hpa) field.ErrorList { return spec(a, old) }

func validateStatusUpdate(_ context.Context, a, _ *hpa) field.ErrorList {
	var l check.List
	l.NonNegative(field.NewPath("status", "currentReplicas"), int64(a.Status.CurrentReplicas))
	l.NonNegative(field.NewPath("status", "desiredReplicas"), int64(a.Status.DesiredReplicas))
	return l.Errors()
}

// spec checks a specification; old is nil on create.
func spec(a, old *hpa) field.ErrorList {
	var l check.List
	at, s := field.NewPath("spec"), &a.Spec
	least, most := table.Value(s.MinReplicas), at.Child("maxReplicas")
	if least < 0 {
		l.Invalid(at.Child("minReplicas"), least, "must be greater than or equal to 0")
	}
	switch {
	case s.MaxReplicas == 0:
		l.Required(most, "must be set and greater than 0")
	case s.MaxReplicas < 0:
		l.Invalid(most, s.MaxReplicas, "must be greater than or equal to 1")
	}
	if s.MinReplicas != nil && s.MaxReplicas < least {
		l.Invalid(most, s.MaxReplicas, "must be greater than or equal to `minReplicas`")
	}
	reference(&l, at.Child("scaleTargetRef"), s.ScaleTargetRef, targetVersion(s.ScaleTargetRef, old))
	describe := version(anyGroup)
	if old != nil && slices.ContainsFunc(old.Spec.Metrics, func(m autoscalingv2.MetricSpec) bool {
		return m.Object != nil && m.Type == autoscalingv2.ObjectMetricSourceType && anyGroup(m.Object.DescribedObject.APIVersion) != nil
	}) {
		describe = asItIs
	}
	metrics(&l, at.Child("metrics"), s, describe)
	if b := s.Behavior; b != nil {
		rules(&l, at.Child("behavior", "scaleUp"), b.ScaleUp)
		rules(&l, at.Child("behavior", "scaleDown"), b.ScaleDown)
	}
	return l.Errors()
}

// version says what is wrong with the version of an object's API.
type version func(apiVersion string) error

func asItIs(string) error { return nil }

func anyGroup(apiVersion string) error {
	_, err := schema.ParseGroupVersion(apiVersion)
	return err
}

func named(apiVersion string) error {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err == nil && gv.Group == "" {
		return errors.New("apiVersion must specify API group")
	}
	return err
}

// targetVersion: of what can be scaled only ReplicationControllers are without a group. What was wrong before it was
// checked may stay.
func targetVersion(ref autoscalingv2.CrossVersionObjectReference, old *hpa) version {
	switch {
	case old != nil && old.Spec.ScaleTargetRef.APIVersion == ref.APIVersion && old.Spec.ScaleTargetRef.Kind == ref.Kind:
		return asItIs
	case ref.Kind == "ReplicationController":
		return anyGroup
	}
	return named
}

func reference(l *check.List, at *field.Path, ref autoscalingv2.CrossVersionObjectReference, v version) {
	segment(l, at.Child("kind"), ref.Kind, "")
	segment(l, at.Child("name"), ref.Name, "")
	if err := v(ref.APIVersion); err != nil {
		l.Invalid(at.Child("apiVersion"), ref.APIVersion, err.Error())
	}
}

// segment requires what can be a part of a URL's path.
func segment(l *check.List, at *field.Path, value, missing string) {
	if value == "" {
		l.Required(at, missing)
		return
	}
	l.Each(at, value, content.IsPathSegmentName(value))
}

func rules(l *check.List, at *field.Path, r *autoscalingv2.HPAScalingRules) {
	if r == nil {
		return
	}
	if window := r.StabilizationWindowSeconds; window != nil && *window < 0 {
		l.Invalid(at.Child("stabilizationWindowSeconds"), window, "must be greater than or equal to zero")
	} else if window != nil && *window > longestWindow {
		l.Invalid(at.Child("stabilizationWindowSeconds"), window, "must be less than or equal to 3600")
	}
	check.KnownPtr(l, at.Child("selectPolicy"), r.SelectPolicy, autoscalingv2.MaxChangePolicySelect, autoscalingv2.MinChangePolicySelect, autoscalingv2.DisabledPolicySelect)
	policies := at.Child("policies")
	if len(r.Policies) == 0 {
		l.Required(policies, "must specify at least one Policy")
	}
	for i, p := range r.Policies {
		here := policies.Index(i)
		check.Known(l, here.Child("type"), p.Type, autoscalingv2.PodsScalingPolicy, autoscalingv2.PercentScalingPolicy)
		l.Positive(here.Child("value"), int64(p.Value))
		l.Positive(here.Child("periodSeconds"), int64(p.PeriodSeconds))
		if p.PeriodSeconds > longestPeriod {
			l.Invalid(here.Child("periodSeconds"), p.PeriodSeconds, "must be less than or equal to 1800")
		}
	}
	if r.Tolerance != nil {
		quantity.Check(l, at.Child("tolerance"), "", *r.Tolerance)
	}
}
