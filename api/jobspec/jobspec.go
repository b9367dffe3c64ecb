// Package jobspec holds the rules of a Job's specification that Jobs and the templates of CronJobs share. It knows
// neither selectors, which only a Job has, nor schedules.
package jobspec

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/podspec"
	"dhow/api/table"
	"dhow/api/warnings"
)

// Default fills what the template of a Job, and the template of a Job's template, leave open. The rest has defaults in
// Jobs only.
func Default(s *batchv1.JobSpec) {
	podspec.Default(&s.Template.Spec)
	if s.PodFailurePolicy == nil {
		return
	}
	for _, rule := range s.PodFailurePolicy.Rules {
		for i := range rule.OnPodConditions {
			if rule.OnPodConditions[i].Status == "" {
				rule.OnPodConditions[i].Status = corev1.ConditionTrue
			}
		}
	}
}

// DropDisabled clears the fields of alpha features, which are off; what the object (old, nil on create) has already
// stays.
func DropDisabled(s, old *batchv1.JobSpec) {
	if old == nil {
		s.Scheduling = nil
		podspec.DropDisabled(&s.Template.Spec, nil)
		return
	}
	if old.Scheduling == nil {
		s.Scheduling = nil
	}
	podspec.DropDisabled(&s.Template.Spec, &old.Template.Spec)
}

// IsIndexed says whether each pod of a Job has a number.
func IsIndexed(s *batchv1.JobSpec) bool {
	return table.Value(s.CompletionMode) == batchv1.IndexedCompletion
}

// Warnings tells of what is legal in a specification but likely not what its author wants.
func Warnings(s *batchv1.JobSpec, at *field.Path) []string {
	var all []string
	if IsIndexed(s) && table.Value(s.Completions) > manyCompletions && table.Value(s.Parallelism) > parallelismOfMany {
		all = append(all, at.String()+": In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "+
			"Kubernetes might not be able to track completedIndexes when a big number of indexes fail")
	}
	return append(all, warnings.Template(&s.Template, at.Child("template"))...)
}
