package jobspec

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/podspec"
	"dhow/api/table"
)

// Bounds that keep the list of completed and failed indexes in a status bearable.
const (
	mostParallelIndexed = 100_000
	mostFailedIndexes   = 100_000
	// From so many completions on, the bounds with a limit of failures per index are tighter.
	manyCompletions   = 100_000
	parallelismOfMany = 10_000
	failedOfMany      = 10_000
)

const longestManager = 63

// Check checks all but the selector.
func Check(l *check.List, at *field.Path, s *batchv1.JobSpec) {
	counts(l, at, s)
	if s.ManagedBy != nil {
		here := at.Child("managedBy")
		l.Add(validation.IsDomainPrefixedPath(here, *s.ManagedBy)...)
		if len(*s.ManagedBy) > longestManager {
			l.Add(field.TooLong(here, "", longestManager))
		}
	}
	completionMode(l, at, s)
	if s.PodFailurePolicy != nil {
		failurePolicy(l, at.Child("podFailurePolicy", "rules"), s)
	}
	if s.SuccessPolicy != nil {
		successPolicy(l, at.Child("successPolicy"), s)
	}
	replacement(l, at.Child("podReplacementPolicy"), s)
	l.Add(podspec.ValidateTemplate(&s.Template, at.Child("template"))...)
	restarts(l, at.Child("template", "spec", "restartPolicy"), s)
}

func counts(l *check.List, at *field.Path, s *batchv1.JobSpec) {
	if s.ActiveDeadlineSeconds != nil {
		l.NonNegative(at.Child("activeDeadlineSeconds"), *s.ActiveDeadlineSeconds)
	}
	for _, count := range []struct {
		name  string
		value *int32
	}{
		{"parallelism", s.Parallelism}, {"completions", s.Completions}, {"backoffLimit", s.BackoffLimit},
		{"ttlSecondsAfterFinished", s.TTLSecondsAfterFinished}, {"backoffLimitPerIndex", s.BackoffLimitPerIndex},
		{"maxFailedIndexes", s.MaxFailedIndexes},
	} {
		if count.value != nil {
			l.NonNegative(at.Child(count.name), int64(*count.value))
		}
	}
	if s.MaxFailedIndexes != nil && s.BackoffLimitPerIndex == nil {
		l.Required(at.Child("backoffLimitPerIndex"), "when maxFailedIndexes is specified")
	}
}

func completionMode(l *check.List, at *field.Path, s *batchv1.JobSpec) {
	if s.CompletionMode != nil {
		mode := *s.CompletionMode
		if mode != batchv1.NonIndexedCompletion && mode != batchv1.IndexedCompletion {
			l.Add(field.NotSupported(at.Child("completionMode"), s.CompletionMode,
				[]batchv1.CompletionMode{batchv1.NonIndexedCompletion, batchv1.IndexedCompletion}))
		}
	}
	if IsIndexed(s) {
		indexed(l, at, s)
		return
	}
	if mode := table.Value(s.CompletionMode); mode != "" && mode != batchv1.NonIndexedCompletion {
		return
	}
	const needsIndexes = "requires indexed completion mode"
	if s.BackoffLimitPerIndex != nil {
		l.Invalid(at.Child("backoffLimitPerIndex"), *s.BackoffLimitPerIndex, needsIndexes)
	}
	if s.MaxFailedIndexes != nil {
		l.Invalid(at.Child("maxFailedIndexes"), *s.MaxFailedIndexes, needsIndexes)
	}
}

func indexed(l *check.List, at *field.Path, s *batchv1.JobSpec) {
	completions, parallelism, failed := at.Child("completions"), at.Child("parallelism"), at.Child("maxFailedIndexes")
	if s.Completions == nil {
		l.Required(completions, fmt.Sprintf("when completion mode is %s", batchv1.IndexedCompletion))
	}
	if table.Value(s.Parallelism) > mostParallelIndexed {
		l.Invalid(parallelism, *s.Parallelism,
			fmt.Sprintf("must be less than or equal to %d when completion mode is %s", mostParallelIndexed, batchv1.IndexedCompletion))
	}
	if s.Completions != nil && table.Value(s.MaxFailedIndexes) > *s.Completions {
		l.Invalid(failed, *s.MaxFailedIndexes, "must be less than or equal to completions")
	}
	if table.Value(s.MaxFailedIndexes) > mostFailedIndexes {
		l.Invalid(failed, *s.MaxFailedIndexes, fmt.Sprintf("must be less than or equal to %d", mostFailedIndexes))
	}
	if table.Value(s.Completions) <= manyCompletions || s.BackoffLimitPerIndex == nil {
		return
	}
	if s.MaxFailedIndexes == nil {
		l.Required(failed, fmt.Sprintf("must be specified when completions is above %d", manyCompletions))
	}
	const bound = "must be less than or equal to %d when completions are above %d and used with backoff limit per index"
	if table.Value(s.Parallelism) > parallelismOfMany {
		l.Invalid(parallelism, *s.Parallelism, fmt.Sprintf(bound, parallelismOfMany, manyCompletions))
	}
	if table.Value(s.MaxFailedIndexes) > failedOfMany {
		l.Invalid(failed, *s.MaxFailedIndexes, fmt.Sprintf(bound, failedOfMany, manyCompletions))
	}
}

func replacement(l *check.List, at *field.Path, s *batchv1.JobSpec) {
	if s.PodFailurePolicy != nil { // which looks at pods that have ended
		check.KnownPtr(l, at, s.PodReplacementPolicy, batchv1.Failed)
		return
	}
	check.KnownPtr(l, at, s.PodReplacementPolicy, batchv1.Failed, batchv1.TerminatingOrFailed)
}

// restarts: pods of a Job end. Those without a policy of their own have got Always by default.
func restarts(l *check.List, at *field.Path, s *batchv1.JobSpec) {
	switch policy := s.Template.Spec.RestartPolicy; {
	case policy == "" || policy == corev1.RestartPolicyAlways:
		l.Required(at, fmt.Sprintf("valid values: %q, %q", corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever))
	case policy != corev1.RestartPolicyOnFailure && policy != corev1.RestartPolicyNever:
		l.Add(field.NotSupported(at, policy, []corev1.RestartPolicy{corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever}))
	case s.PodFailurePolicy != nil && policy != corev1.RestartPolicyNever:
		l.Invalid(at, policy, fmt.Sprintf("only %q is supported when podFailurePolicy is specified", corev1.RestartPolicyNever))
	}
}
