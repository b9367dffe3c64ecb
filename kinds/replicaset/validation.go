package replicaset

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/api/workload"
)

func validate(_ context.Context, r *appsv1.ReplicaSet) field.ErrorList {
	var l check.List
	at, s := field.NewPath("spec"), &r.Spec
	l.NonNegative(at.Child("replicas"), int64(table.Value(s.Replicas)))
	l.NonNegative(at.Child("minReadySeconds"), int64(s.MinReadySeconds))
	// Upstream says "deployment" of ReplicaSets too.
	if selector := l.WorkloadSelector(at.Child("selector"), s.Selector, "deployment"); selector != nil {
		workload.Template(&l, at.Child("template"), &s.Template, selector, "ReplicaSet")
	}
	return l.Errors()
}

func validateUpdate(ctx context.Context, r, old *appsv1.ReplicaSet) field.ErrorList {
	var l check.List
	l.Add(validate(ctx, r)...)
	l.Immutable(field.NewPath("spec", "selector"), r.Spec.Selector, old.Spec.Selector)
	return l.Errors()
}

func validateStatusUpdate(_ context.Context, r, _ *appsv1.ReplicaSet) field.ErrorList {
	var l check.List
	at, s := field.NewPath("status"), &r.Status
	workload.Counts(&l, at, s.Replicas, workload.Count{Name: "fullyLabeledReplicas", Value: s.FullyLabeledReplicas},
		workload.Count{Name: "readyReplicas", Value: s.ReadyReplicas},
		workload.Count{Name: "availableReplicas", Value: s.AvailableReplicas})
	workload.Available(&l, at, s.AvailableReplicas, s.ReadyReplicas)
	l.NonNegative(at.Child("observedGeneration"), s.ObservedGeneration)
	l.NonNegative(at.Child("terminatingReplicas"), int64(table.Value(s.TerminatingReplicas)))
	return l.Errors()
}
