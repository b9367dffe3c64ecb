package jobspec

import (
	"fmt"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/check/checktest"
)

const good = `{template: {spec: {restartPolicy: Never, containers: [{name: c, image: i:1}]}}}`

func TestCheck(t *testing.T) {
	zeros := strings.TrimSuffix(strings.Repeat("{action: Ignore, onPodConditions: [{type: T}]},", 21), ",")
	for name, c := range map[string]struct {
		change string
		want   []string
	}{
		"good":     {``, nil},
		"negative": {`{parallelism: -1, activeDeadlineSeconds: -1}`, []string{"spec.activeDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0", "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"}},
		"restarts for ever": {`{template: {spec: {restartPolicy: Always}}}`, []string{
			`spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"`}},
		"policy and restarts": {`{template: {spec: {restartPolicy: OnFailure}}, podFailurePolicy: {rules: []}}`, []string{
			`spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified`}},
		"another's":         {`{managedBy: acme.io/foo}`, nil},
		"another's, no one": {`{managedBy: foo}`, []string{`spec.managedBy: Invalid value: "foo": must be a domain-prefixed path (such as "acme.io/foo")`}},
		"mode":              {`{completionMode: Odd}`, []string{`spec.completionMode: Unsupported value: "Odd": supported values: "NonIndexed", "Indexed"`}},
		"indexed": {`{completionMode: Indexed, parallelism: 100001, maxFailedIndexes: 100001, backoffLimitPerIndex: 1}`, []string{
			"spec.completions: Required value: when completion mode is Indexed",
			"spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
			"spec.maxFailedIndexes: Invalid value: 100001: must be less than or equal to 100000"}},
		"many indexes": {`{completionMode: Indexed, completions: 100001, parallelism: 10001, maxFailedIndexes: 10001, backoffLimitPerIndex: 1}`, []string{
			"spec.parallelism: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index",
			"spec.maxFailedIndexes: Invalid value: 10001: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index"}},
		"limits of indexes": {`{backoffLimitPerIndex: 1, maxFailedIndexes: 1}`, []string{
			"spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode", "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode"}},
		"replacement":           {`{podReplacementPolicy: Never}`, []string{`spec.podReplacementPolicy: Unsupported value: "Never": supported values: "Failed", "TerminatingOrFailed"`}},
		"replacement by policy": {`{podReplacementPolicy: TerminatingOrFailed, podFailurePolicy: {rules: []}}`, []string{`spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"`}},
		"rules":                 {`{podFailurePolicy: {rules: [` + zeros + `]}}`, []string{"spec.podFailurePolicy.rules: Too many: 21: must have at most 20 items"}},
		"rule of nothing": {`{podFailurePolicy: {rules: [{}]}}`, []string{
			`spec.podFailurePolicy.rules[0].action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]`,
			"spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"}},
		"rule of indexes": {`{podFailurePolicy: {rules: [{action: FailIndex, onExitCodes: {operator: In, values: [1]}}]}}`, []string{
			`spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set`}},
		"rule of all": {`{podFailurePolicy: {rules: [{action: Odd, onExitCodes: {containerName: x, operator: In, values: [3, 0, 3]}, onPodConditions: [{type: "a b", status: Odd}]}]}}`, []string{
			`spec.podFailurePolicy.rules[0].action: Unsupported value: "Odd": supported values: "Count", "FailIndex", "FailJob", "Ignore"`,
			`spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "x": must be one of the container or initContainer names in the pod template`,
			`spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator`,
			`spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 3`,
			`spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0,3]: must be ordered`,
			`spec.podFailurePolicy.rules[0].onPodConditions[0].type: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
			`spec.podFailurePolicy.rules[0].onPodConditions[0].status: Unsupported value: "Odd": supported values: "False", "True", "Unknown"`,
			`spec.podFailurePolicy.rules[0]: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported`}},
		"success": {`{completionMode: Indexed, completions: 10, successPolicy: {rules: [{succeededIndexes: "0,2-4", succeededCount: 3}]}}`, nil},
		"success of too much": {`{completionMode: Indexed, completions: 10, successPolicy: {rules: [{succeededIndexes: "0,2-4", succeededCount: 11}, {}]}}`, []string{
			"spec.successPolicy.rules[0].succeededCount: Invalid value: 11: must be less than or equal to 10 (the number of specified completions)",
			"spec.successPolicy.rules[0].succeededCount: Invalid value: 11: must be less than or equal to 4 (the number of indexes in the specified succeededIndexes field)",
			"spec.successPolicy.rules[1]: Required value: at least one of succeededCount or succeededIndexes must be specified"}},
		"success without indexes": {`{successPolicy: {}}`, []string{`spec.successPolicy: Invalid value: {"rules":null}: requires indexed completion mode`}},
		"success without rules":   {`{completionMode: Indexed, completions: 1, successPolicy: {}}`, []string{"spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is specified"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := checktest.Object[batchv1.JobSpec](t, good, c.change)
			Default(s)
			var l check.List
			Check(&l, field.NewPath("spec"), s)
			checktest.Want(t, l.Errors(), c.want...)
		})
	}
}

func TestIndexesGrow(t *testing.T) {
	for text, want := range map[string]string{
		"": "0", "3": "1", "0,2-4,9": "5", "10": `too large index: "10"`, "1-10": `too large index: "10"`,
		"2,2": "non-increasing order, previous: 2, current: 2", "4-2": "non-increasing order, previous: 4, current: 2",
		"1-2,2-3": "non-increasing order, previous: 2, current: 2", "x": `cannot convert string to integer for index: "x"`, "-1": `cannot convert string to integer for index: ""`,
		"1-2-3": `the fragment "1-2-3" violates the requirement that an index interval can have at most two parts separated by '-'`,
	} {
		all, err := ParseIndexes(text, 10)
		got := fmt.Sprint(all.Total())
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestOverlapIsTheFirstIndexOfBoth(t *testing.T) {
	for _, c := range []struct {
		a, b  string
		index int32
		both  bool
	}{{"", "1", 0, false}, {"0-2", "3,5", 0, false}, {"0-3,7-9", "5-8", 7, true}, {"x,4", "1,4", 4, true}, {"1,3,5", "0,2,4-5", 5, true}} {
		if index, both := Overlap(c.a, c.b, 10); index != c.index || both != c.both {
			t.Errorf("%q and %q: %d, %v", c.a, c.b, index, both)
		}
	}
}

func FuzzIndexes(f *testing.F) {
	f.Add("0,2-4", "1", int32(10))
	f.Fuzz(func(t *testing.T, a, b string, completions int32) {
		all, err := ParseIndexes(a, completions)
		if err == nil && (all.Total() < 0 || len(all) > 0 && int64(all.Total()) > int64(completions)) {
			t.Errorf("%q of %d: %d", a, completions, all.Total())
		}
		Overlap(a, b, completions)
	})
}
