package job

import (
	"fmt"

	"k8s.io/utils/ptr"

	"dhow/api/jobspec"
	"dhow/api/table"
)

func (s *step) completedIndexesChange() bool {
	return s.old.Status.CompletedIndexes != s.job.Status.CompletedIndexes
}

func (s *step) failedIndexesChange() bool {
	return !ptr.Equal(s.old.Status.FailedIndexes, s.job.Status.FailedIndexes)
}

func (s *step) indexes() {
	now, spec := &s.job.Status, &s.job.Spec
	completed, failed := s.at.Child("completedIndexes"), s.at.Child("failedIndexes")
	if s.completedIndexesChange() {
		if err := unreadable(now.CompletedIndexes, spec.Completions); err != nil {
			s.Invalid(completed, now.CompletedIndexes, "error parsing completedIndexes: "+err.Error())
		}
		if now.CompletedIndexes != "" && !jobspec.IsIndexed(spec) {
			s.Invalid(completed, now.CompletedIndexes, "cannot set non-empty completedIndexes when non-indexed completion mode")
		}
	}
	if now.FailedIndexes == nil {
		return
	}
	if s.failedIndexesChange() {
		err := unreadable(*now.FailedIndexes, spec.Completions)
		switch {
		case spec.BackoffLimitPerIndex == nil:
			s.Invalid(failed, *now.FailedIndexes, "cannot set non-null failedIndexes when backoffLimitPerIndex is null")
		case err != nil:
			s.Invalid(failed, now.FailedIndexes, "error parsing failedIndexes: "+err.Error())
		}
	}
	if s.completedIndexesChange() || s.failedIndexesChange() {
		if index, both := jobspec.Overlap(now.CompletedIndexes, *now.FailedIndexes, table.Value(spec.Completions)); both {
			s.Invalid(failed, *now.FailedIndexes, fmt.Sprintf("failedIndexes and completedIndexes overlap at index: %d", index))
		}
	}
}

// unreadable says what is wrong with a list of indexes of a Job with so many completions.
func unreadable(text string, completions *int32) error {
	if completions == nil {
		return nil
	}
	_, err := jobspec.ParseIndexes(text, *completions)
	return err
}
