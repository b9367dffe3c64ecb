package job

import (
	"context"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"dhow/api/check"
	"dhow/api/jobspec"
	"dhow/api/table"
)

// Any controller may manage a Job, so the server holds each to what clients rely on: a finished Job stays so and has
// nothing left that runs. Most rules apply only when what they are about changes. A status that breaks one already, as
// a change of the specification can make it, can thus be mended step by step.

// is says whether a condition of a Job is true.
func is(j *batchv1.Job, kind batchv1.JobConditionType) bool {
	return has(j, kind, corev1.ConditionTrue)
}

func has(j *batchv1.Job, kind batchv1.JobConditionType, status corev1.ConditionStatus) bool {
	return slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool { return c.Type == kind && c.Status == status })
}

func isFinished(j *batchv1.Job) bool { return is(j, batchv1.JobComplete) || is(j, batchv1.JobFailed) }

// step is a change of a Job's status.
type step struct {
	check.List
	at       *field.Path
	job, old *batchv1.Job
}

func validateStatusUpdate(_ context.Context, j, old *batchv1.Job) field.ErrorList {
	s := step{at: field.NewPath("status"), job: j, old: old}
	s.counts()
	s.uncounted()
	s.conditions()
	s.times()
	s.finished()
	s.indexes()
	s.noWayBack()
	return s.Errors()
}

func (s *step) counts() {
	now := &s.job.Status
	for _, count := range []struct {
		name  string
		value int32
	}{
		{"active", now.Active}, {"succeeded", now.Succeeded}, {"failed", now.Failed},
		{"ready", table.Value(now.Ready)}, {"terminating", table.Value(now.Terminating)},
	} {
		s.NonNegative(s.at.Child(count.name), int64(count.value))
	}
	changed := s.old.Status.Active != now.Active || !ptr.Equal(s.old.Status.Ready, now.Ready)
	if changed && table.Value(now.Ready) > now.Active {
		s.Invalid(s.at.Child("ready"), *now.Ready, "cannot set more ready pods than active")
	}
}

// uncounted pods are each there once.
func (s *step) uncounted() {
	pods := s.job.Status.UncountedTerminatedPods
	if pods == nil {
		return
	}
	seen := sets.Set[types.UID]{}
	for _, list := range []struct {
		name string
		uids []types.UID
	}{{"succeeded", pods.Succeeded}, {"failed", pods.Failed}} {
		for i, uid := range list.uids {
			at := s.at.Child("uncountedTerminatedPods", list.name).Index(i)
			switch {
			case uid == "":
				s.Invalid(at, uid, "must not be empty")
			case seen.Has(uid):
				s.Duplicate(at, uid)
			}
			seen.Insert(uid)
		}
	}
}

// turned says whether the truth of a condition changes.
func (s *step) turned(kind batchv1.JobConditionType) bool { return is(s.job, kind) != is(s.old, kind) }

// wrong is an error about the conditions as a whole.
func (s *step) wrong(detail string) {
	s.Invalid(s.at.Child("conditions"), field.OmitValueType{}, detail)
}

func (s *step) conditions() {
	complete, failed := is(s.job, batchv1.JobComplete), is(s.job, batchv1.JobFailed)
	failing, met := is(s.job, batchv1.JobFailureTarget), is(s.job, batchv1.JobSuccessCriteriaMet)
	completeTurned, failedTurned := s.turned(batchv1.JobComplete), s.turned(batchv1.JobFailed)
	if complete && failed && (completeTurned || failedTurned) {
		s.wrong("cannot set Complete=True and Failed=true conditions")
	}
	if complete && failing && (completeTurned || s.turned(batchv1.JobFailureTarget)) {
		s.wrong("cannot set Complete=True and FailureTarget=true conditions")
	}
	if failed && !failing && (failedTurned || s.failedIndexesChange()) {
		s.wrong("cannot set Failed=True condition without the FailureTarget=true condition")
	}
	if complete && !met && (completeTurned || s.turned(batchv1.JobSuccessCriteriaMet)) {
		s.wrong("cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
	}
	if met && failed {
		s.wrong("cannot set SuccessCriteriaMet=True and Failed=true conditions")
	}
	if met && failing {
		s.wrong("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
	}
	if s.job.Spec.SuccessPolicy != nil && complete && !met {
		s.wrong("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")
	}
}

func (s *step) times() {
	now, was, complete := &s.job.Status, &s.old.Status, is(s.job, batchv1.JobComplete)
	at := s.at.Child("completionTime")
	ended, started := !now.CompletionTime.Equal(was.CompletionTime), !now.StartTime.Equal(was.StartTime)
	if ended || s.turned(batchv1.JobComplete) {
		if now.CompletionTime != nil && !complete {
			s.Invalid(at, now.CompletionTime, "cannot set completionTime when there is no Complete=True condition")
		}
		if now.CompletionTime == nil && complete {
			s.Required(at, "completionTime is required for Complete jobs")
		}
	}
	if (started || ended) && now.StartTime != nil && now.CompletionTime != nil && now.CompletionTime.Before(now.StartTime) {
		s.Invalid(at, now.CompletionTime, "must be equal to or after `startTime`")
	}
	if ended && now.CompletionTime != nil && was.CompletionTime != nil {
		s.Invalid(at, now.CompletionTime, "field is immutable")
	}
	if started && was.StartTime != nil && !table.Value(s.job.Spec.Suspend) && !s.resumes() {
		s.Invalid(s.at.Child("startTime"), now.StartTime, "field is immutable for unsuspended job once set")
	}
}

// resumes: the controller notes that the Job goes on. Its specification has said so before.
func (s *step) resumes() bool {
	return is(s.old, batchv1.JobSuspended) && has(s.job, batchv1.JobSuspended, corev1.ConditionFalse)
}

// finished Jobs have started, and have no pods that run, end or wait to be counted.
func (s *step) finished() {
	if !isFinished(s.job) {
		return
	}
	now, was, turned := &s.job.Status, &s.old.Status, !isFinished(s.old)
	if now.Active > 0 && (turned || was.Active != now.Active) {
		s.Invalid(s.at.Child("active"), now.Active, "active>0 is invalid for finished job")
	}
	idle := table.Value(s.job.Spec.Suspend) && ptr.Equal(s.job.Spec.Completions, ptr.To[int32](0))
	if now.StartTime == nil && !idle && (turned || was.StartTime != nil) {
		s.Required(s.at.Child("startTime"), "startTime is required for finished job")
	}
	if left := now.UncountedTerminatedPods; left != nil && len(left.Failed)+len(left.Succeeded) > 0 &&
		(turned || !equality.Semantic.DeepEqual(was.UncountedTerminatedPods, left)) {
		s.Invalid(s.at.Child("uncountedTerminatedPods"), left, "must be empty for finished job")
	}
	if table.Value(now.Terminating) > 0 && (turned || !ptr.Equal(was.Terminating, now.Terminating)) {
		s.Invalid(s.at.Child("terminating"), now.Terminating, "terminating>0 is invalid for finished job")
	}
}

// noWayBack: a Job that has ended has ended, and what is counted stays counted.
func (s *step) noWayBack() {
	now, was := &s.job.Status, &s.old.Status
	for _, kind := range []batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobComplete, batchv1.JobFailureTarget} {
		if is(s.old, kind) && !is(s.job, kind) {
			s.wrong("cannot disable the terminal " + string(kind) + "=True condition")
		}
	}
	if now.Failed < was.Failed {
		s.Invalid(s.at.Child("failed"), now.Failed, "cannot decrease the failed counter")
	}
	elastic := jobspec.IsIndexed(&s.job.Spec) && ptr.Equal(s.job.Spec.Completions, s.job.Spec.Parallelism)
	if now.Succeeded < was.Succeeded && !elastic { // fewer completions may be asked for
		s.Invalid(s.at.Child("succeeded"), now.Succeeded, "cannot decrease the succeeded counter")
	}
	met, wasMet := is(s.job, batchv1.JobSuccessCriteriaMet), is(s.old, batchv1.JobSuccessCriteriaMet)
	if wasMet && !met {
		s.wrong("cannot disable the SuccessCriteriaMet=True condition")
	}
	if met && !wasMet && is(s.old, batchv1.JobComplete) {
		s.wrong("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions")
	}
}
