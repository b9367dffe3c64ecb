package replicationcontroller

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/workload"
)

func validate(_ context.Context, r *corev1.ReplicationController) field.ErrorList {
	var l check.List
	at, s := field.NewPath("spec"), &r.Spec
	l.NonNegative(at.Child("minReadySeconds"), int64(s.MinReadySeconds))
	if len(s.Selector) == 0 {
		l.Required(at.Child("selector"), "")
	}
	if s.Replicas == nil {
		l.Required(at.Child("replicas"), "")
	} else {
		l.NonNegative(at.Child("replicas"), int64(*s.Replicas))
	}
	if s.Template == nil {
		l.Required(at.Child("template"), "")
	} else {
		workload.Template(&l, at.Child("template"), s.Template, labels.Set(s.Selector).AsSelector(), "ReplicationController")
	}
	return l.Errors()
}

func validateUpdate(ctx context.Context, r, _ *corev1.ReplicationController) field.ErrorList {
	return validate(ctx, r) // even the selector may change
}

func validateStatusUpdate(_ context.Context, r, _ *corev1.ReplicationController) field.ErrorList {
	var l check.List
	at, s := field.NewPath("status"), &r.Status
	workload.Counts(&l, at, s.Replicas, workload.Count{Name: "fullyLabeledReplicas", Value: s.FullyLabeledReplicas},
		workload.Count{Name: "readyReplicas", Value: s.ReadyReplicas},
		workload.Count{Name: "availableReplicas", Value: s.AvailableReplicas})
	workload.Available(&l, at, s.AvailableReplicas, s.ReadyReplicas)
	l.NonNegative(at.Child("observedGeneration"), s.ObservedGeneration)
	return l.Errors()
}
