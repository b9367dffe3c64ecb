package job

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"dhow/api/table"
)

func columns() []metav1.TableColumnDefinition {
	return append([]metav1.TableColumnDefinition{
		table.Name(),
		table.Column("Status", "Status of the job."),
		table.Column("Completions", batchv1.JobStatus{}.SwaggerDoc()["succeeded"]),
		table.Column("Duration", "Time required to complete the job."),
		table.Age(),
	}, append(table.TemplateColumns(), table.Wide("Selector", batchv1.JobSpec{}.SwaggerDoc()["selector"]))...)
}

func cells(j *batchv1.Job) []any {
	names, images := table.Template(&j.Spec.Template)
	return []any{state(j), progress(j), took(j), table.Since(j.CreationTimestamp), names, images, metav1.FormatLabelSelector(j.Spec.Selector)}
}

// state is one word for all conditions.
func state(j *batchv1.Job) string {
	switch {
	case is(j, batchv1.JobComplete):
		return "Complete"
	case is(j, batchv1.JobFailed):
		return "Failed"
	case j.DeletionTimestamp != nil:
		return "Terminating"
	case is(j, batchv1.JobSuspended):
		return "Suspended"
	case is(j, batchv1.JobFailureTarget):
		return "FailureTarget"
	case is(j, batchv1.JobSuccessCriteriaMet):
		return "SuccessCriteriaMet"
	}
	return "Running"
}

func progress(j *batchv1.Job) string {
	switch parallel := table.Value(j.Spec.Parallelism); {
	case j.Spec.Completions != nil:
		return fmt.Sprintf("%d/%d", j.Status.Succeeded, *j.Spec.Completions)
	case parallel > 1:
		return fmt.Sprintf("%d/1 of %d", j.Status.Succeeded, parallel)
	}
	return fmt.Sprintf("%d/1", j.Status.Succeeded)
}

func took(j *batchv1.Job) string {
	switch start, end := j.Status.StartTime, j.Status.CompletionTime; {
	case start == nil:
		return ""
	case end == nil:
		return duration.HumanDuration(time.Since(start.Time))
	default:
		return duration.HumanDuration(end.Sub(start.Time))
	}
}
