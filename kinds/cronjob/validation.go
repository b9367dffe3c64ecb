package cronjob

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // zones, on machines that have no files of them

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"dhow/api/check"
	"dhow/api/jobspec"
	"dhow/api/table"
)

// longestName leaves room for the eleven characters that a Job's name adds, and a label's value has 63.
const longestName = 52

// zonePrefix is what a schedule with a time zone in it has ("TZ=", "CRON_TZ=").
const zonePrefix = "TZ"

func validate(_ context.Context, c *batchv1.CronJob) field.ErrorList {
	var l check.List
	common(&l, &c.Spec, nil)
	if len(c.Name) > longestName {
		l.Invalid(field.NewPath("metadata", "name"), c.Name, fmt.Sprintf("must be no more than %d characters", longestName))
	}
	return l.Errors()
}

func validateUpdate(_ context.Context, c, old *batchv1.CronJob) field.ErrorList {
	var l check.List
	common(&l, &c.Spec, &old.Spec)
	return l.Errors()
}

// common checks a specification; old is nil on create.
func common(l *check.List, s, old *batchv1.CronJobSpec) {
	at := field.NewPath("spec")
	if l.NonEmpty(at.Child("schedule"), s.Schedule) {
		schedule(l, at.Child("schedule"), s, old)
	}
	if s.StartingDeadlineSeconds != nil {
		l.NonNegative(at.Child("startingDeadlineSeconds"), *s.StartingDeadlineSeconds)
	}
	if s.TimeZone != nil && (old == nil || !ptr.Equal(old.TimeZone, s.TimeZone)) {
		timeZone(l, at.Child("timeZone"), *s.TimeZone)
	}
	concurrency(l, at.Child("concurrencyPolicy"), s.ConcurrencyPolicy)
	job := at.Child("jobTemplate", "spec")
	jobspec.Check(l, job, &s.JobTemplate.Spec)
	if selector := s.JobTemplate.Spec.Selector; selector != nil {
		l.Invalid(job.Child("selector"), selector, "`selector` will be auto-generated")
	}
	if manual := s.JobTemplate.Spec.ManualSelector; table.Value(manual) {
		l.Add(field.NotSupported(job.Child("manualSelector"), manual, []string{"nil", "false"}))
	}
	l.NonNegative(at.Child("successfulJobsHistoryLimit"), int64(table.Value(s.SuccessfulJobsHistoryLimit)))
	l.NonNegative(at.Child("failedJobsHistoryLimit"), int64(table.Value(s.FailedJobsHistoryLimit)))
}

func concurrency(l *check.List, at *field.Path, p batchv1.ConcurrencyPolicy) {
	switch p {
	case "":
		l.Required(at, "")
	case batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent:
	default:
		l.Add(field.NotSupported(at, p, []batchv1.ConcurrencyPolicy{batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent}))
	}
}

// schedule takes a time zone in a schedule only from objects that had one before that was forbidden.
func schedule(l *check.List, at *field.Path, s, old *batchv1.CronJobSpec) {
	if err := parse(s.Schedule); err != nil {
		l.Invalid(at, s.Schedule, err.Error())
	}
	if !strings.Contains(s.Schedule, zonePrefix) {
		return
	}
	if old == nil || !strings.Contains(old.Schedule, zonePrefix) {
		l.Invalid(at, s.Schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")
	} else if s.TimeZone != nil {
		l.Invalid(at, s.Schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule")
	}
}

// parse says what is wrong with a schedule. The parser panics at some of what is: "TZ=0", "@every" with odd durations.
func parse(text string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("invalid schedule format: %v", r)
		}
	}()
	_, err = cron.ParseStandard(text)
	return err
}

// zonePart is what stands between the slashes of a zone's name: the rules of the IANA database, and the digits and
// plus signs of some old names.
var zonePart = regexp.MustCompile(`^[A-Za-z\.\-_0-9+]{1,14}$`)

func timeZone(l *check.List, at *field.Path, name string) {
	if name == "" {
		l.Invalid(at, name, "timeZone must be nil or non-empty string")
		return
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "." || part == ".." || strings.HasPrefix(part, "-") || !zonePart.MatchString(part) {
			l.Invalid(at, name, "unknown time zone "+name)
			return
		}
	}
	if strings.EqualFold(name, "Local") {
		l.Invalid(at, name, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones")
	}
	if _, err := time.LoadLocation(name); err != nil {
		l.Invalid(at, name, err.Error())
	}
}
