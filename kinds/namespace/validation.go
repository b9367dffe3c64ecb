package namespace

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

func validate(_ context.Context, n *corev1.Namespace) field.ErrorList {
	var l check.List
	for _, f := range n.Spec.Finalizers {
		finalizer(&l, field.NewPath("spec", "finalizers"), string(f))
	}
	return l.Errors()
}

func validateFinalize(n *corev1.Namespace) field.ErrorList {
	var l check.List
	for i, f := range n.Spec.Finalizers {
		finalizer(&l, field.NewPath("spec", "finalizers").Index(i), string(f))
	}
	return l.Errors()
}

var ownFinalizers = []string{string(corev1.FinalizerKubernetes), metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents}

func finalizer(l *check.List, at *field.Path, name string) {
	l.Add(apivalidation.ValidateFinalizerName(name, at)...)
	if !strings.Contains(name, "/") && !slices.Contains(ownFinalizers, name) {
		l.Invalid(at, name, "name is neither a standard finalizer name nor is it fully qualified")
	}
}

func validateStatusUpdate(_ context.Context, n, _ *corev1.Namespace) field.ErrorList {
	var l check.List
	at, phase := field.NewPath("status", "Phase"), n.Status.Phase
	switch deleted := n.DeletionTimestamp != nil; {
	case !deleted && phase != corev1.NamespaceActive:
		l.Invalid(at, phase, "may only be 'Active' if `deletionTimestamp` is empty")
	case deleted && phase != corev1.NamespaceTerminating:
		l.Invalid(at, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")
	}
	return l.Errors()
}
