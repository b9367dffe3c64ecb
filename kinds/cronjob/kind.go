// Package cronjob is all that the server knows of CronJobs: defaults, validation of schedules and time zones, and
// what kubectl prints. It starts no Jobs.
package cronjob

import (
	"context"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/jobspec"
	"dhow/api/table"
	"dhow/api/workload"
	"dhow/apiserver"
)

// Kind defines CronJobs.
func Kind() apiserver.Kind {
	return apiserver.Define[*batchv1.CronJob, *batchv1.CronJobList](batchv1.SchemeGroupVersion,
		apiserver.Names{Kind: "CronJob", Resource: "cronjobs", ShortNames: []string{"cj"}, Categories: []string{"all"}},
		apiserver.Rules[*batchv1.CronJob]{
			Default: Default,
			PrepareForCreate: func(_ context.Context, c *batchv1.CronJob) {
				jobspec.DropDisabled(&c.Spec.JobTemplate.Spec, nil)
			},
			PrepareForUpdate: func(_ context.Context, c, old *batchv1.CronJob) {
				jobspec.DropDisabled(&c.Spec.JobTemplate.Spec, &old.Spec.JobTemplate.Spec)
			},
			Validate:       validate,
			ValidateUpdate: validateUpdate,
			Warnings:       warn,
			HasStatus:      true,
			Columns:        columns(),
			Cells:          cells,
		})
}

// Default fills what a CronJob leaves open. What its Jobs leave open is filled when they are made.
func Default(c *batchv1.CronJob) {
	jobspec.Default(&c.Spec.JobTemplate.Spec)
	if c.Spec.ConcurrencyPolicy == "" {
		c.Spec.ConcurrencyPolicy = batchv1.AllowConcurrent
	}
	fill(&c.Spec.Suspend, false)
	fill(&c.Spec.SuccessfulJobsHistoryLimit, 3)
	fill(&c.Spec.FailedJobsHistoryLimit, 1)
}

func fill[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func warn(_ context.Context, c, old *batchv1.CronJob) []string {
	all := workload.NameWarnings(&c.ObjectMeta, old == nil)
	if old == nil || c.Generation != old.Generation {
		all = append(all, jobspec.Warnings(&c.Spec.JobTemplate.Spec, field.NewPath("spec", "jobTemplate", "spec"))...)
	}
	if old != nil && strings.Contains(c.Spec.Schedule, zonePrefix) {
		// The path is upstream's.
		all = append(all, "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, "+
			"see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details")
	}
	return all
}

func columns() []metav1.TableColumnDefinition {
	spec, status := batchv1.CronJobSpec{}.SwaggerDoc(), batchv1.CronJobStatus{}.SwaggerDoc()
	return append([]metav1.TableColumnDefinition{
		table.Name(),
		table.Column("Schedule", spec["schedule"]),
		table.Column("Timezone", spec["timeZone"]),
		{Name: "Suspend", Type: "boolean", Description: spec["suspend"]},
		table.Number("Active", status["active"]),
		table.Column("Last Schedule", status["lastScheduleTime"]),
		table.Age(),
	}, append(table.TemplateColumns(), table.Wide("Selector", batchv1.JobSpec{}.SwaggerDoc()["selector"]))...)
}

func cells(c *batchv1.CronJob) []any {
	const none = "<none>"
	zone, last, suspend := none, none, "<unset>"
	if c.Spec.TimeZone != nil {
		zone = *c.Spec.TimeZone
	}
	if c.Status.LastScheduleTime != nil {
		last = table.Since(*c.Status.LastScheduleTime)
	}
	if c.Spec.Suspend != nil {
		suspend = map[bool]string{true: "True", false: "False"}[*c.Spec.Suspend]
	}
	names, images := table.Template(&c.Spec.JobTemplate.Spec.Template)
	return []any{
		c.Spec.Schedule, zone, suspend, int64(len(c.Status.Active)), last, table.Since(c.CreationTimestamp),
		names, images, metav1.FormatLabelSelector(c.Spec.JobTemplate.Spec.Selector),
	}
}
