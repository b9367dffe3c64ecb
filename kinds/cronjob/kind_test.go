package cronjob

import (
	"fmt"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"

	"dhow/api/check/checktest"
)

const good = `{metadata: {name: c}, spec: {schedule: "*/5 * * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i:1}]}}}}}}`

func make(t *testing.T, changes ...string) *batchv1.CronJob {
	t.Helper()
	c := checktest.Object[batchv1.CronJob](t, good, changes...)
	Default(c)
	return c
}

func TestDefaultsLeaveTheJobsToTheJobs(t *testing.T) {
	s := make(t).Spec
	if s.ConcurrencyPolicy != "Allow" || *s.Suspend || *s.SuccessfulJobsHistoryLimit != 3 || *s.FailedJobsHistoryLimit != 1 {
		t.Errorf("got %+v", s)
	}
	if j := s.JobTemplate.Spec; j.Parallelism != nil || j.BackoffLimit != nil || j.Template.Spec.DNSPolicy == "" {
		t.Errorf("jobs %+v", j)
	}
}

func TestValidate(t *testing.T) {
	const noZone = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
	for name, c := range map[string]struct {
		change string
		want   []string
	}{
		"good":            {``, nil},
		"every hour":      {`{spec: {schedule: "@hourly"}}`, nil},
		"no schedule":     {`{spec: {schedule: ""}}`, []string{"spec.schedule: Required value"}},
		"half a schedule": {`{spec: {schedule: "* * * *"}}`, []string{`spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]`}},
		"zone in it":      {`{spec: {schedule: "TZ=UTC 0 * * * *"}}`, []string{`spec.schedule: Invalid value: "TZ=UTC 0 * * * *": ` + noZone}},
		"zone alone": {`{spec: {schedule: "TZ=0"}}`, []string{`spec.schedule: Invalid value: "TZ=0": ` + noZone,
			`spec.schedule: Invalid value: "TZ=0": invalid schedule format: runtime error: slice bounds out of range [:-1]`}},
		"zone":            {`{spec: {timeZone: Europe/Rome}}`, nil},
		"zone of nowhere": {`{spec: {timeZone: Continent/Zone}}`, []string{`spec.timeZone: Invalid value: "Continent/Zone": unknown time zone Continent/Zone`}},
		"zone with dots":  {`{spec: {timeZone: ../etc}}`, []string{`spec.timeZone: Invalid value: "../etc": unknown time zone ../etc`}},
		"zone of here": {`{spec: {timeZone: Local}}`, []string{
			`spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones`}},
		"no zone":     {`{spec: {timeZone: ""}}`, []string{`spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string`}},
		"concurrency": {`{spec: {concurrencyPolicy: Odd}}`, []string{`spec.concurrencyPolicy: Unsupported value: "Odd": supported values: "Allow", "Forbid", "Replace"`}},
		"negative": {`{spec: {startingDeadlineSeconds: -1, failedJobsHistoryLimit: -1}}`, []string{
			"spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0", "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0"}},
		"own selector": {`{spec: {jobTemplate: {spec: {manualSelector: true, selector: {matchLabels: {a: b}}}}}}`, []string{
			"spec.jobTemplate.spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: `selector` will be auto-generated",
			`spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"`}},
		"name": {fmt.Sprintf("{metadata: {name: %s}}", strings.Repeat("n", 53)), []string{
			fmt.Sprintf("metadata.name: Invalid value: %q: must be no more than 52 characters", strings.Repeat("n", 53))}},
	} {
		t.Run(name, func(t *testing.T) {
			checktest.Want(t, validate(t.Context(), make(t, c.change)), c.want...)
		})
	}
}

func TestZonesInOldSchedulesStay(t *testing.T) {
	old := make(t, `{spec: {schedule: "TZ=UTC 0 * * * *"}}`)
	checktest.Want(t, validateUpdate(t.Context(), make(t, `{spec: {schedule: "TZ=UTC 5 * * * *"}}`), old))
	checktest.Want(t, validateUpdate(t.Context(), make(t, `{spec: {schedule: "TZ=UTC 5 * * * *", timeZone: UTC}}`), old),
		`spec.schedule: Invalid value: "TZ=UTC 5 * * * *": cannot use both timeZone field and TZ or CRON_TZ in schedule`)
	if got := warn(t.Context(), old, old); len(got) != 1 || !strings.HasPrefix(got[0], "cannot use TZ") {
		t.Errorf("warns %q", got)
	}
}

func TestLongNamesStay(t *testing.T) {
	old := make(t, fmt.Sprintf("{metadata: {name: %s}}", strings.Repeat("n", 60)))
	checktest.Want(t, validateUpdate(t.Context(), old, old))
}
