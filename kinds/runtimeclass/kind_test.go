package runtimeclass

import (
	"slices"
	"testing"

	nodev1 "k8s.io/api/node/v1"

	"dhow/api/check/checktest"
)

func class(t *testing.T, changes ...string) *nodev1.RuntimeClass {
	t.Helper()
	return checktest.Object[nodev1.RuntimeClass](t, `{metadata: {name: c}, handler: runc}`, changes...)
}

func TestValidate(t *testing.T) {
	for change, want := range map[string][]string{
		``:              nil,
		`{handler: ""}`: {"handler: Required value"},
		`{handler: A}`:  {`handler: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`},
		`{overhead: {podFixed: {cpu: 10m, memory: 1Mi}}}`: nil,
		`{overhead: {podFixed: {cpu: -1, pods: 1}}}`:      {`overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0`, `overhead.limits[pods]: Invalid value: "pods": must be a standard resource for containers`},
		`{scheduling: {nodeSelector: {a: b}, tolerations: [{key: k, operator: Exists, tolerationSeconds: 5, effect: NoExecute}, {key: k, operator: Exists, effect: NoExecute}]}}`: {
			`scheduling.tolerations[1]: Duplicate value: {"key":"k","operator":"Exists","effect":"NoExecute"}`},
		`{scheduling: {tolerations: [{value: v}]}}`: {"scheduling.tolerations[0].operator: Invalid value: \"\": operator must be Exists when `key` is empty, which means \"match all values and all keys\""},
	} {
		checktest.Want(t, validate(t.Context(), class(t, change)), want...)
	}
}

func TestHandlerIsImmutable(t *testing.T) {
	checktest.Want(t, validateUpdate(t.Context(), class(t, `{handler: other}`), class(t)), `handler: Invalid value: "other": field is immutable`)
	checktest.Want(t, validateUpdate(t.Context(), class(t, `{overhead: {podFixed: {cpu: 10m}}}`), class(t)))
}

func TestWarnsOfOldNodeLabels(t *testing.T) {
	got := warn(t.Context(), class(t, `{scheduling: {nodeSelector: {beta.kubernetes.io/os: linux}}}`), nil)
	if want := []string{`scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/os" instead`}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
