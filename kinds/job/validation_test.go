package job

import (
	"strings"
	"testing"

	"dhow/api/check/checktest"
)

const (
	indexedSpec = `{spec: {completionMode: Indexed, completions: 3, parallelism: 2}}`
	atRest      = `{spec: {suspend: true}}`
)

func TestNamesOfIndexedPodsAreHostNames(t *testing.T) {
	checktest.Want(t, validate(t.Context(), make(t, indexedSpec, `{metadata: {name: j.k}}`)),
		`metadata.name: Invalid value: "j.k": will not able to create pod with invalid DNS label: j.k-2`)
}

func TestUpdates(t *testing.T) {
	const immutable = ": field is immutable"
	for name, c := range map[string]struct {
		old, change string
		want        []string
	}{
		"parallelism":                   {``, `{spec: {completions: 1, parallelism: 5}}`, nil},
		"suspend":                       {``, `{spec: {suspend: true}}`, nil},
		"completions":                   {``, `{spec: {completions: 5}}`, []string{"spec.completions: Invalid value: 5" + immutable}},
		"indexed completions":           {indexedSpec, `{spec: {completions: 5, parallelism: 5}}`, nil},
		"indexed completions alone":     {indexedSpec, `{spec: {completions: 5}}`, []string{"spec.completions: Invalid value: 5: can only be modified in tandem with spec.parallelism"}},
		"completion mode":               {`{spec: {completions: 3}}`, `{spec: {completionMode: Indexed}}`, []string{`spec.completionMode: Invalid value: "Indexed"` + immutable}},
		"limit per index":               {indexedSpec, `{spec: {backoffLimitPerIndex: 1}}`, []string{"spec.backoffLimitPerIndex: Invalid value: 1" + immutable}},
		"manager":                       {``, `{spec: {managedBy: a.b/c}}`, []string{`spec.managedBy: Invalid value: "a.b/c"` + immutable}},
		"success policy":                {indexedSpec, `{spec: {successPolicy: {rules: [{succeededCount: 1}]}}}`, []string{`spec.successPolicy: Invalid value: {"rules":[{"succeededCount":1}]}` + immutable}},
		"placement while at rest":       {atRest, `{spec: {template: {metadata: {annotations: {a: b}}, spec: {nodeSelector: {a: b}, tolerations: [{key: k, operator: Exists}], schedulingGates: [{name: g}]}}}}`, nil},
		"resources while at rest":       {atRest, `{spec: {template: {spec: {containers: [{name: c, image: "i:1", resources: {requests: {cpu: 1}}}]}}}}`, nil},
		"resumed and moved":             {atRest, `{spec: {suspend: false, template: {spec: {nodeSelector: {a: b}}}}}`, nil},
		"at rest again":                 {`{spec: {suspend: true}, status: {startTime: "2026-01-01T00:00:00Z", conditions: [{type: Suspended, status: "True"}]}}`, `{spec: {template: {spec: {nodeSelector: {a: b}}}}}`, nil},
		"limits and unlimited failures": {indexedSpec, `{spec: {maxFailedIndexes: 1}}`, []string{"spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"}},
	} {
		t.Run(name, func(t *testing.T) {
			checktest.Want(t, validateUpdate(t.Context(), make(t, c.old, c.change), make(t, c.old)), c.want...)
		})
	}
}

func TestTemplatesOfJobsThatRunAreImmutable(t *testing.T) {
	for name, c := range map[string]struct{ old, change, path string }{
		"image while at rest": {atRest, `{spec: {template: {spec: {containers: [{name: c, image: "i:2"}]}}}}`, "spec.template.spec"},
		"placement":           {``, `{spec: {template: {spec: {nodeSelector: {a: b}}}}}`, "spec.template"},
		"pods are left":       {`{spec: {suspend: true}, status: {active: 1}}`, `{spec: {template: {spec: {nodeSelector: {a: b}}}}}`, "spec.template"},
		"started, suspension not noted": {`{spec: {suspend: true}, status: {startTime: "2026-01-01T00:00:00Z"}}`,
			`{spec: {template: {spec: {nodeSelector: {a: b}}}}}`, "spec.template"},
		"pods' affinity": {atRest, `{spec: {template: {spec: {affinity: {podAffinity: {}}}}}}`, "spec.template.spec"},
	} {
		t.Run(name, func(t *testing.T) {
			errs := validateUpdate(t.Context(), make(t, c.old, c.change), make(t, c.old))
			if len(errs) != 1 || errs[0].Field != c.path || errs[0].Detail != "field is immutable" {
				t.Errorf("got %v", errs)
			}
		})
	}
}

const (
	started   = `startTime: "2026-01-01T00:00:00Z"`
	completed = `status: {` + started + `, completionTime: "2026-01-01T00:01:00Z", conditions: [{type: SuccessCriteriaMet, status: "True"}, {type: Complete, status: "True"}]}`
)

func TestStatusSteps(t *testing.T) {
	const spec = `{spec: {completionMode: Indexed, completions: 5, parallelism: 2, backoffLimitPerIndex: 1}}`
	for name, c := range map[string]struct {
		old, now string
		want     []string
	}{
		"starts":     {``, `{status: {` + started + `, active: 2, ready: 1}}`, nil},
		"completes":  {`{status: {` + started + `, active: 1}}`, `{` + strings.Replace(completed, "{", "{active: 0, ", 1) + `}`, nil},
		"more ready": {``, `{status: {active: 1, ready: 2}}`, []string{"status.ready: Invalid value: 2: cannot set more ready pods than active"}},
		"negative":   {``, `{status: {failed: -1}}`, []string{"status.failed: Invalid value: -1: must be greater than or equal to 0", "status.failed: Invalid value: -1: cannot decrease the failed counter"}},
		"counted twice": {``, `{status: {uncountedTerminatedPods: {succeeded: [a, ""], failed: [a]}}}`, []string{
			`status.uncountedTerminatedPods.succeeded[1]: Invalid value: "": must not be empty`, `status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"`}},
		"completes without more": {``, `{status: {conditions: [{type: Complete, status: "True"}]}}`, []string{
			"status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
			"status.completionTime: Required value: completionTime is required for Complete jobs",
			"status.startTime: Required value: startTime is required for finished job"}},
		"fails without a target": {``, `{status: {` + started + `, conditions: [{type: Failed, status: "True"}]}}`, []string{
			"status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition"}},
		"both": {``, `{status: {` + started + `, completionTime: "2026-01-01T00:01:00Z", conditions: [{type: Complete, status: "True"}, {type: Failed, status: "True"}, {type: FailureTarget, status: "True"}, {type: SuccessCriteriaMet, status: "True"}]}}`, []string{
			"status.conditions: Invalid value: cannot set Complete=True and Failed=true conditions",
			"status.conditions: Invalid value: cannot set Complete=True and FailureTarget=true conditions",
			"status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and Failed=true conditions",
			"status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"}},
		"un-completes": {`{` + completed + `}`, `{status: {completionTime: null, conditions: []}}`, []string{
			"status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
			"status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition"}},
		"ends otherwise": {`{` + completed + `}`, `{status: {completionTime: "2026-01-01T00:02:00Z"}}`, []string{
			`status.completionTime: Invalid value: "2026-01-01T00:02:00Z": field is immutable`}},
		"ends before it starts": {``, `{` + strings.Replace(completed, "01T00:00:00Z", "02T00:00:00Z", 1) + `}`, []string{
			"status.completionTime: Invalid value: \"2026-01-01T00:01:00Z\": must be equal to or after `startTime`"}},
		"starts again":              {`{status: {` + started + `}}`, `{status: {startTime: "2026-01-02T00:00:00Z"}}`, []string{`status.startTime: Invalid value: "2026-01-02T00:00:00Z": field is immutable for unsuspended job once set`}},
		"starts again when resumed": {`{status: {` + started + `, conditions: [{type: Suspended, status: "True"}]}}`, `{status: {startTime: "2026-01-02T00:00:00Z", conditions: [{type: Suspended, status: "False"}]}}`, nil},
		"finished with pods": {`{` + completed + `}`, `{status: {active: 1, terminating: 1, uncountedTerminatedPods: {failed: [a]}}}`, []string{
			"status.active: Invalid value: 1: active>0 is invalid for finished job", "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job",
			`status.uncountedTerminatedPods: Invalid value: {"failed":["a"]}: must be empty for finished job`}},
		"indexes":      {``, `{status: {completedIndexes: "0,2-3", failedIndexes: "1,4"}}`, nil},
		"odd indexes":  {``, `{status: {completedIndexes: "3,1", failedIndexes: "9"}}`, []string{`status.completedIndexes: Invalid value: "3,1": error parsing completedIndexes: non-increasing order, previous: 3, current: 1`, `status.failedIndexes: Invalid value: "9": error parsing failedIndexes: too large index: "9"`}},
		"both indexes": {``, `{status: {completedIndexes: "0-2", failedIndexes: "2-3"}}`, []string{`status.failedIndexes: Invalid value: "2-3": failedIndexes and completedIndexes overlap at index: 2`}},
		"uncounted":    {`{status: {succeeded: 2, failed: 2}}`, `{status: {succeeded: 1, failed: 1}}`, []string{"status.failed: Invalid value: 1: cannot decrease the failed counter", "status.succeeded: Invalid value: 1: cannot decrease the succeeded counter"}},
		"stays wrong":  {`{status: {completedIndexes: "7", conditions: [{type: Complete, status: "True"}]}}`, `{status: {failed: 1}}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			checktest.Want(t, validateStatusUpdate(t.Context(), make(t, spec, c.old, c.now), make(t, spec, c.old)), c.want...)
		})
	}
}
