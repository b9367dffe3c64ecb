// Package job is all that the server knows of Jobs: defaults, the selector that it makes for them, validation of
// their specification and of every step of their status, and what kubectl prints. It runs no pods.
package job

import (
	"context"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/jobspec"
	"dhow/api/workload"
	"dhow/apiserver"
)

// Kind defines Jobs.
func Kind() apiserver.Kind {
	return apiserver.Define[*batchv1.Job, *batchv1.JobList](batchv1.SchemeGroupVersion,
		apiserver.Names{Kind: "Job", Resource: "jobs", Categories: []string{"all"}},
		apiserver.Rules[*batchv1.Job]{
			Default: Default,
			PrepareForCreate: func(_ context.Context, j *batchv1.Job) {
				generateSelector(j)
				jobspec.DropDisabled(&j.Spec, nil)
			},
			PrepareForUpdate: func(_ context.Context, j, old *batchv1.Job) {
				jobspec.DropDisabled(&j.Spec, &old.Spec)
			},
			Validate:             validate,
			ValidateUpdate:       validateUpdate,
			Warnings:             warn,
			HasStatus:            true,
			ValidateStatusUpdate: validateStatusUpdate,
			Fields: func(j *batchv1.Job) fields.Set {
				return fields.Set{"status.successful": strconv.Itoa(int(j.Status.Succeeded))}
			},
			Columns:         columns(),
			Cells:           cells,
			OrphanByDefault: true,
		})
}

// Default fills what a Job leaves open.
func Default(j *batchv1.Job) {
	s := &j.Spec
	jobspec.Default(s)
	if s.Completions == nil && s.Parallelism == nil {
		fill(&s.Completions, 1)
	}
	fill(&s.Parallelism, 1)
	if s.BackoffLimitPerIndex != nil {
		fill(&s.BackoffLimit, 1<<31-1) // the limit of each index is what counts
	}
	fill(&s.BackoffLimit, 6)
	if len(j.Labels) == 0 && s.Template.Labels != nil {
		j.Labels = s.Template.Labels // one and the same: the Job has what will be added to the template, too
	}
	fill(&s.CompletionMode, batchv1.NonIndexedCompletion)
	fill(&s.Suspend, false)
	if s.PodFailurePolicy != nil {
		fill(&s.PodReplacementPolicy, batchv1.Failed)
	}
	fill(&s.PodReplacementPolicy, batchv1.TerminatingOrFailed)
	fill(&s.ManualSelector, false)
}

func fill[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func warn(_ context.Context, j, old *batchv1.Job) []string {
	if old != nil && j.Generation == old.Generation {
		return nil
	}
	return append(workload.NameWarnings(&j.ObjectMeta, old == nil), jobspec.Warnings(&j.Spec, field.NewPath("spec"))...)
}
