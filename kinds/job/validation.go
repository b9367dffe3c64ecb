package job

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/jobspec"
	"dhow/api/table"
)

func validate(_ context.Context, j *batchv1.Job) field.ErrorList {
	var l check.List
	common(&l, j, false)
	return l.Errors()
}

func common(l *check.List, j *batchv1.Job, old bool) {
	at, s := field.NewPath("spec"), &j.Spec
	generated(l, j, old)
	jobspec.Check(l, at, s)
	if s.Selector == nil {
		l.Required(at.Child("selector"), "")
	} else {
		l.Selector(at.Child("selector"), s.Selector)
	}
	if selector, err := metav1.LabelSelectorAsSelector(s.Selector); err == nil && !selector.Matches(labels.Set(s.Template.Labels)) {
		l.Invalid(at.Child("template", "metadata", "labels"), s.Template.Labels, "`selector` does not match template `labels`")
	}
	if jobspec.IsIndexed(s) && table.Value(s.Completions) > 0 {
		longest := fmt.Sprintf("%s-%d", j.Name, *s.Completions-1) // the last pod's host name
		if len(validation.IsDNS1123Label(longest)) > 0 {
			l.Invalid(field.NewPath("metadata", "name"), j.Name, "will not able to create pod with invalid DNS label: "+longest)
		}
	}
}

func validateUpdate(_ context.Context, j, old *batchv1.Job) field.ErrorList {
	var l check.List
	common(&l, j, isOld(old))
	at, now, was := field.NewPath("spec"), &j.Spec, &old.Spec
	completions(&l, at.Child("completions"), now, was)
	l.Immutable(at.Child("selector"), now.Selector, was.Selector)
	template(&l, at, j, old)
	l.Immutable(at.Child("completionMode"), now.CompletionMode, was.CompletionMode)
	l.Immutable(at.Child("podFailurePolicy"), now.PodFailurePolicy, was.PodFailurePolicy)
	l.Immutable(at.Child("backoffLimitPerIndex"), now.BackoffLimitPerIndex, was.BackoffLimitPerIndex)
	l.Immutable(at.Child("managedBy"), now.ManagedBy, was.ManagedBy)
	l.Immutable(at.Child("successPolicy"), now.SuccessPolicy, was.SuccessPolicy)
	return l.Errors()
}

// completions may change where indexes tell which pods are too many, and only together with parallelism.
func completions(l *check.List, at *field.Path, now, was *batchv1.JobSpec) {
	if !jobspec.IsIndexed(now) {
		l.Immutable(at, now.Completions, was.Completions)
		return
	}
	if now.Completions == nil || equality.Semantic.DeepEqual(now.Completions, was.Completions) {
		return
	}
	if *now.Completions != table.Value(now.Parallelism) {
		l.Invalid(at, now.Completions, "can only be modified in tandem with "+at.Root().Child("parallelism").String())
	}
}

// template may change in where its pods run and what they ask for, while the Job is suspended and has none.
func template(l *check.List, at *field.Path, j, old *batchv1.Job) {
	now, was := &j.Spec.Template, &old.Spec.Template
	if !isAtRest(old) {
		l.Immutable(at.Child("template"), now, was)
		return
	}
	allowed := was.DeepCopy()
	allowPlacement(&allowed.Spec, &now.Spec)
	allowResources(allowed.Spec.Containers, now.Spec.Containers)
	allowResources(allowed.Spec.InitContainers, now.Spec.InitContainers)
	l.Immutable(at.Child("template.spec"), now.Spec, allowed.Spec)
}

// isAtRest: the Job is suspended, has not started or has noted its suspension, and no pod of it is left.
func isAtRest(j *batchv1.Job) bool {
	return table.Value(j.Spec.Suspend) && j.Status.Active == 0 && (j.Status.StartTime == nil || is(j, batchv1.JobSuspended))
}

// allowPlacement takes over what may differ: node affinity, node selector, tolerations and gates.
func allowPlacement(was, now *corev1.PodSpec) {
	switch {
	case now.Affinity == nil && was.Affinity != nil:
		was.Affinity.NodeAffinity = nil
		if *was.Affinity == (corev1.Affinity{}) {
			was.Affinity = nil
		}
	case now.Affinity != nil && was.Affinity == nil:
		was.Affinity = &corev1.Affinity{NodeAffinity: now.Affinity.NodeAffinity}
	case now.Affinity != nil:
		was.Affinity.NodeAffinity = now.Affinity.NodeAffinity
	}
	was.NodeSelector, was.Tolerations, was.SchedulingGates = now.NodeSelector, now.Tolerations, now.SchedulingGates
}

func allowResources(was, now []corev1.Container) {
	if len(was) != len(now) {
		return
	}
	for i := range was {
		if was[i].Name == now[i].Name {
			was[i].Resources = now[i].Resources
		}
	}
}
