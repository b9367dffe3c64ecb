package daemonset

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/api/workload"
)

func validate(_ context.Context, d *appsv1.DaemonSet) field.ErrorList {
	var l check.List
	at, s := field.NewPath("spec"), &d.Spec
	if selector := l.WorkloadSelector(at.Child("selector"), s.Selector, "daemonset"); selector != nil {
		workload.Template(&l, at.Child("template"), &s.Template, selector, "DaemonSet")
	}
	l.NonNegative(at.Child("minReadySeconds"), int64(s.MinReadySeconds))
	strategy(&l, at.Child("updateStrategy"), &s.UpdateStrategy)
	l.NonNegative(at.Child("revisionHistoryLimit"), int64(table.Value(s.RevisionHistoryLimit)))
	return l.Errors()
}

func strategy(l *check.List, at *field.Path, s *appsv1.DaemonSetUpdateStrategy) {
	switch s.Type {
	case appsv1.OnDeleteDaemonSetStrategyType:
	case appsv1.RollingUpdateDaemonSetStrategyType:
		if s.RollingUpdate == nil {
			l.Required(at.Child("rollingUpdate"), "")
			return
		}
		rollingUpdate(l, at.Child("rollingUpdate"), s.RollingUpdate)
	default:
		l.Add(field.NotSupported(at, *s, []appsv1.DaemonSetUpdateStrategyType{
			appsv1.RollingUpdateDaemonSetStrategyType, appsv1.OnDeleteDaemonSetStrategyType,
		}))
	}
}

// rollingUpdate: a node's pod is replaced before or after the new one is ready, not both.
func rollingUpdate(l *check.List, at *field.Path, r *appsv1.RollingUpdateDaemonSet) {
	unavailable, surge := table.Value(r.MaxUnavailable), table.Value(r.MaxSurge)
	workload.IntOrPercent(l, at.Child("maxUnavailable"), unavailable)
	workload.IntOrPercent(l, at.Child("maxSurge"), surge)
	workload.AtMostAll(l, at.Child("maxUnavailable"), unavailable)
	workload.AtMostAll(l, at.Child("maxSurge"), surge)
	switch down, up := !workload.IsZero(unavailable), !workload.IsZero(surge); {
	case down && up:
		l.Invalid(at.Child("maxSurge"), surge, "may not be set when maxUnavailable is non-zero")
	case !down && !up:
		l.Required(at.Child("maxUnavailable"), "cannot be 0 when maxSurge is 0")
	}
}

func validateUpdate(ctx context.Context, d, old *appsv1.DaemonSet) field.ErrorList {
	var l check.List
	l.Immutable(field.NewPath("spec", "selector"), d.Spec.Selector, old.Spec.Selector)
	l.Add(validate(ctx, d)...)
	return l.Errors()
}

func validateStatusUpdate(_ context.Context, d, old *appsv1.DaemonSet) field.ErrorList {
	var l check.List
	at, s := field.NewPath("status"), &d.Status
	for _, c := range []workload.Count{
		{Name: "currentNumberScheduled", Value: s.CurrentNumberScheduled}, {Name: "numberMisscheduled", Value: s.NumberMisscheduled},
		{Name: "desiredNumberScheduled", Value: s.DesiredNumberScheduled}, {Name: "numberReady", Value: s.NumberReady},
		{Name: "updatedNumberScheduled", Value: s.UpdatedNumberScheduled}, {Name: "numberAvailable", Value: s.NumberAvailable},
		{Name: "numberUnavailable", Value: s.NumberUnavailable}, {Name: "collisionCount", Value: table.Value(s.CollisionCount)},
	} {
		l.NonNegative(at.Child(c.Name), int64(c.Value))
	}
	l.NonNegative(at.Child("observedGeneration"), s.ObservedGeneration)
	if now := table.Value(s.CollisionCount); now < table.Value(old.Status.CollisionCount) {
		l.Invalid(at.Child("collisionCount"), now, "cannot be decremented")
	}
	return l.Errors()
}
