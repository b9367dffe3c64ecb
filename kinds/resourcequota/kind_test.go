package resourcequota

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"dhow/api/check/checktest"
)

func quotaOf(t *testing.T, spec string) *corev1.ResourceQuota {
	t.Helper()
	return checktest.Object[corev1.ResourceQuota](t, `{metadata: {name: q, resourceVersion: "1"}, spec: `+spec+`}`)
}

func TestValidate(t *testing.T) {
	for spec, want := range map[string][]string{
		`{hard: {pods: 1, requests.cpu: 500m, count/widgets.example.com: 1, requests.example.com/gpu: 1, gold.storageclass.storage.k8s.io/requests.storage: 1Gi}}`: nil,
		`{hard: {odd: 1}}`:     {`spec.hard[odd]: Invalid value: "odd": must be a standard resource type or fully qualified`, `spec.hard[odd]: Invalid value: "odd": must be a standard resource for quota`},
		`{hard: {storage: 1}}`: {`spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota`},
		`{hard: {"a b": 1}}`:   {`spec.hard[a b]: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`, `spec.hard[a b]: Invalid value: "a b": must be a standard resource for quota`},
		`{hard: {pods: -1}}`:   {`spec.hard[pods]: Invalid value: "-1": must be greater than or equal to 0`},
		`{hard: {pods: 500m}}`: {`spec.hard[pods]: Invalid value: "500m": must be an integer`},
		`{hard: {pods: 1}, scopes: [BestEffort, Terminating]}`:     nil,
		`{hard: {cpu: 1}, scopes: [BestEffort]}`:                   {`spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource`},
		`{hard: {pods: 1}, scopes: [Odd]}`:                         {`spec.scopes: Invalid value: ["Odd"]: unsupported scope`},
		`{hard: {pods: 1}, scopes: [Terminating, NotTerminating]}`: {`spec.scopes: Invalid value: ["Terminating","NotTerminating"]: conflicting scopes`},
		`{hard: {persistentvolumeclaims: 1}, scopeSelector: {matchExpressions: [{scopeName: VolumeAttributesClass, operator: In, values: [gold]}]}}`: nil,
		`{hard: {pods: 1}, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In}]}}`: {
			"spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"},
		`{hard: {pods: 1}, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: Exists, values: [a]}]}}`: {
			"spec.scopeSelector.matchExpressions.values: Invalid value: [\"a\"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"},
		`{hard: {pods: 1}, scopeSelector: {matchExpressions: [{scopeName: Odd, operator: Near}]}}`: {
			`spec.scopeSelector.matchExpressions.scopeName: Invalid value: "Odd": unsupported scope`, `spec.scopeSelector.matchExpressions.operator: Invalid value: "Near": not a valid selector operator`},
		`{hard: {pods: 1}, scopeSelector: {matchExpressions: [{scopeName: CrossNamespacePodAffinity, operator: DoesNotExist}]}}`: {
			`spec.scopeSelector.matchExpressions.operator: Invalid value: "DoesNotExist": must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity`},
	} {
		t.Run(spec, func(t *testing.T) { checktest.Want(t, validate(t.Context(), quotaOf(t, spec)), want...) })
	}
}

func TestScopesAreImmutable(t *testing.T) {
	old := quotaOf(t, `{hard: {pods: 1}, scopes: [BestEffort, Terminating]}`)
	checktest.Want(t, validateUpdate(t.Context(), quotaOf(t, `{hard: {pods: 2}, scopes: [Terminating, BestEffort]}`), old))
	checktest.Want(t, validateUpdate(t.Context(), quotaOf(t, `{hard: {pods: 1}, scopes: [Terminating]}`), old), `spec.scopes: Invalid value: ["Terminating"]: field is immutable`)
}

func TestStatusNeedsAVersionAndGoodAmounts(t *testing.T) {
	q := checktest.Object[corev1.ResourceQuota](t, `{status: {hard: {pods: 1}, used: {pods: 500m}}}`)
	checktest.Want(t, validateStatusUpdate(t.Context(), q, q), "resourceVersion: Required value", `status.used[pods]: Invalid value: "500m": must be an integer`)
}

func TestWarnsOfBoundsWithoutAPoint(t *testing.T) {
	q := quotaOf(t, `{hard: {cpu: 2, limits.cpu: 1, requests.memory: 1Gi, limits.memory: 1Gi, requests.ephemeral-storage: 2, limits.ephemeral-storage: 1}}`)
	want := []string{"ResourceQuota cpu (2) should be less than limits.cpu (1)", "ResourceQuota requests.ephemeral-storage (2) should be less than limits.ephemeral-storage (1)"}
	if got := warn(t.Context(), q, nil); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestCellsShowWhatIsUsedOfWhat(t *testing.T) {
	q := checktest.Object[corev1.ResourceQuota](t, `{status: {hard: {pods: 5, limits.cpu: 2, cpu: 1}, used: {pods: 2, limits.cpu: 1, cpu: 500m}}}`)
	if got := fmt.Sprint(cells(q)[:2]); got != "[cpu: 500m/1, pods: 2/5 limits.cpu: 1/2]" {
		t.Errorf("got %s", got)
	}
}
