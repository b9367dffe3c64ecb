package poddisruptionbudget

import (
	"testing"

	policyv1 "k8s.io/api/policy/v1"
	unversioned "k8s.io/apimachinery/pkg/apis/meta/v1/validation"

	"dhow/api/check/checktest"
)

func make(t *testing.T, spec string) *policyv1.PodDisruptionBudget {
	t.Helper()
	return checktest.Object[policyv1.PodDisruptionBudget](t, `{metadata: {name: b}, spec: {selector: {matchLabels: {a: b}}}}`, `{spec: `+spec+`}`)
}

func TestValidate(t *testing.T) {
	for spec, want := range map[string][]string{
		`{minAvailable: 1}`:     nil,
		`{maxUnavailable: 50%}`: nil,
		`{minAvailable: -1}`:    {"spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"},
		`{minAvailable: 101%}`:  {`spec.minAvailable: Invalid value: "101%": must not be greater than 100%`},
		`{maxUnavailable: x}`:   {`spec.maxUnavailable: Invalid value: "x": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')`},
		`{minAvailable: 1, maxUnavailable: 1}`: {
			`spec: Invalid value: {"minAvailable":1,"selector":{"matchLabels":{"a":"b"}},"maxUnavailable":1}: minAvailable and maxUnavailable cannot be both set`},
		`{unhealthyPodEvictionPolicy: Odd}`:                        {`spec.unhealthyPodEvictionPolicy: Unsupported value: "Odd": supported values: "AlwaysAllow", "IfHealthyBudget"`},
		`{selector: {matchExpressions: [{key: a, operator: In}]}}`: {"spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"},
	} {
		checktest.Want(t, validate(make(t, spec), unversioned.LabelSelectorValidationOptions{}), want...)
	}
}

func TestWrongSelectorsOfOldStay(t *testing.T) {
	wrong := make(t, `{selector: {matchExpressions: [{key: a, operator: In, values: ["b c"]}]}}`)
	checktest.Want(t, validateUpdate(t.Context(), wrong, wrong))
	if errs := validateUpdate(t.Context(), wrong, make(t, `{}`)); len(errs) != 1 {
		t.Errorf("got %v", errs)
	}
}

func TestStatusIsChecked(t *testing.T) {
	b := checktest.Object[policyv1.PodDisruptionBudget](t, `{status: {disruptionsAllowed: -1, currentHealthy: 0, desiredHealthy: 0, expectedPods: 0,
		conditions: [{type: DisruptionAllowed, status: "Odd", reason: r, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}]}}`)
	checktest.Want(t, validateStatusUpdate(t.Context(), b, b),
		`status.conditions[0].status: Unsupported value: "Odd": supported values: "False", "True", "Unknown"`,
		"status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0")
}

func TestAmountThatIsNotSet(t *testing.T) {
	if got := amount(nil); got != "N/A" {
		t.Errorf("got %s", got)
	}
}
