package deployment

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/api/workload"
)

func validate(_ context.Context, d *appsv1.Deployment) field.ErrorList {
	var l check.List
	at, s := field.NewPath("spec"), &d.Spec
	l.NonNegative(at.Child("replicas"), int64(table.Value(s.Replicas)))
	if selector := l.WorkloadSelector(at.Child("selector"), s.Selector, "deployment"); selector != nil {
		workload.Template(&l, at.Child("template"), &s.Template, selector, "ReplicaSet")
	}
	strategy(&l, at.Child("strategy"), &s.Strategy)
	l.NonNegative(at.Child("minReadySeconds"), int64(s.MinReadySeconds))
	l.NonNegative(at.Child("revisionHistoryLimit"), int64(table.Value(s.RevisionHistoryLimit)))
	if deadline := s.ProgressDeadlineSeconds; deadline != nil {
		l.NonNegative(at.Child("progressDeadlineSeconds"), int64(*deadline))
		if *deadline <= s.MinReadySeconds {
			l.Invalid(at.Child("progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds")
		}
	}
	return l.Errors()
}

func strategy(l *check.List, at *field.Path, s *appsv1.DeploymentStrategy) {
	rolling := at.Child("rollingUpdate")
	switch s.Type {
	case appsv1.RecreateDeploymentStrategyType:
		if s.RollingUpdate != nil {
			l.Forbidden(rolling, "may not be specified when strategy `type` is 'Recreate'")
		}
	case appsv1.RollingUpdateDeploymentStrategyType:
		if s.RollingUpdate == nil {
			l.Required(rolling, "this should be defaulted and never be nil")
			return
		}
		rollingUpdate(l, rolling, s.RollingUpdate)
	default:
		l.Add(field.NotSupported(at, s, []string{
			string(appsv1.RecreateDeploymentStrategyType), string(appsv1.RollingUpdateDeploymentStrategyType)}))
	}
}

// rollingUpdate: without room above or below the wanted number nothing could ever change.
func rollingUpdate(l *check.List, at *field.Path, r *appsv1.RollingUpdateDeployment) {
	unavailable, surge := table.Value(r.MaxUnavailable), table.Value(r.MaxSurge)
	workload.IntOrPercent(l, at.Child("maxUnavailable"), unavailable)
	workload.IntOrPercent(l, at.Child("maxSurge"), surge)
	if workload.IsZero(unavailable) && workload.IsZero(surge) {
		l.Invalid(at.Child("maxUnavailable"), unavailable, "may not be 0 when `maxSurge` is 0")
	}
	workload.AtMostAll(l, at.Child("maxUnavailable"), unavailable)
}

func validateUpdate(ctx context.Context, d, old *appsv1.Deployment) field.ErrorList {
	var l check.List
	l.Add(validate(ctx, d)...)
	l.Immutable(field.NewPath("spec", "selector"), d.Spec.Selector, old.Spec.Selector)
	return l.Errors()
}

func validateStatusUpdate(_ context.Context, d, old *appsv1.Deployment) field.ErrorList {
	var l check.List
	at, s := field.NewPath("status"), &d.Status
	l.NonNegative(at.Child("observedGeneration"), s.ObservedGeneration)
	workload.Counts(&l, at, s.Replicas, workload.Count{Name: "updatedReplicas", Value: s.UpdatedReplicas},
		workload.Count{Name: "readyReplicas", Value: s.ReadyReplicas},
		workload.Count{Name: "availableReplicas", Value: s.AvailableReplicas})
	workload.Available(&l, at, s.AvailableReplicas, s.ReadyReplicas)
	l.NonNegative(at.Child("unavailableReplicas"), int64(s.UnavailableReplicas))
	l.NonNegative(at.Child("terminatingReplicas"), int64(table.Value(s.TerminatingReplicas)))
	l.NonNegative(at.Child("collisionCount"), int64(table.Value(s.CollisionCount)))
	if now := table.Value(s.CollisionCount); now < table.Value(old.Status.CollisionCount) {
		l.Invalid(at.Child("collisionCount"), now, "cannot be decremented")
	}
	return l.Errors()
}
