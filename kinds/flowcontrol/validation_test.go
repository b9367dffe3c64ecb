package flowcontrol

import (
	"strings"
	"testing"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"
	"sigs.k8s.io/yaml"
)

func read[T any](t *testing.T, text string) *T {
	t.Helper()
	o := new(T)
	if err := yaml.UnmarshalStrict([]byte(text), o); err != nil {
		t.Fatal(err)
	}
	return o
}

// expect compares errors with the beginnings that are wanted.
func expect(t *testing.T, text string, errs field.ErrorList, want []string) {
	t.Helper()
	if len(errs) != len(want) {
		t.Errorf("%s:\n got %v\nwant %q", text, errs, want)
		return
	}
	for i, err := range errs {
		if !strings.HasPrefix(err.Error(), want[i]) {
			t.Errorf("%s:\n got %s\nwant %s", text, err, want[i])
		}
	}
}

func TestWhatIsWrongWithASchema(t *testing.T) {
	const rule = `subjects: [{kind: User, user: {name: u}}], resourceRules: [{verbs: [get], apiGroups: [""], resources: ["*"], namespaces: [a]}]`
	for text, want := range map[string][]string{
		`{spec: {priorityLevelConfiguration: {name: p}, rules: [{` + rule + `}]}}`: nil,
		`{spec: {matchingPrecedence: 1}}`: {
			"spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
			"spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
		},
		`{spec: {matchingPrecedence: 10001, distinguisherMethod: {type: ByMood}, priorityLevelConfiguration: {name: P}}}`: {
			"spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000",
			"spec.distinguisherMethod.type: Unsupported value",
			`spec.priorityLevelConfiguration.name: Invalid value: "P"`,
		},
		`{spec: {priorityLevelConfiguration: {name: p}, rules: [{}]}}`: {
			"spec.rules[0].subjects: Required value: subjects must contain at least one value",
			"spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
		},
		`{spec: {priorityLevelConfiguration: {name: p}, rules: [{subjects: [{kind: Dog}, {kind: User, group: {name: g}}, {kind: ServiceAccount, serviceAccount: {name: "*", namespace: ""}}],
		  nonResourceRules: [{verbs: [get, dance], nonResourceURLs: [a, "/a*", "/a/*", "/"]}]}]}}`: {
			`spec.rules[0].subjects[0].kind: Unsupported value: "Dog": supported values: "Group", "ServiceAccount", "User"`,
			"spec.rules[0].subjects[1].user: Required value: user is required when subject kind is 'User'",
			"spec.rules[0].subjects[1].group: Forbidden: group is forbidden when subject kind is not 'Group'",
			"spec.rules[0].subjects[2].serviceAccount.namespace: Required value: must specify namespace for service account",
			"spec.rules[0].nonResourceRules[0].verbs: Unsupported value",
			`spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: "a": must start with slash`,
			`spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: "/a*": wildcard can only do suffix matching`,
		},
		`{spec: {priorityLevelConfiguration: {name: p}, rules: [{subjects: [{kind: Group, group: {name: g}}], resourceRules: [{verbs: ["*", get], apiGroups: ["*", a], namespaces: [A]}]}]}}`: {
			"spec.rules[0].resourceRules[0].verbs: Invalid value",
			"spec.rules[0].resourceRules[0].apiGroups: Invalid value",
			"spec.rules[0].resourceRules[0].resources: Required value: resource rules must supply at least one resource",
			`spec.rules[0].resourceRules[0].namespaces[0]: Invalid value: "A": each member of this list must be '*' or a DNS-1123 label; `,
		},
		`{metadata: {name: catch-all}, spec: {priorityLevelConfiguration: {name: p}, rules: []}}`: {"spec: Invalid value"},
	} {
		s := read[flowcontrolv1.FlowSchema](t, text)
		DefaultSchema(s)
		expect(t, text, validateSchema(s), want)
	}
}

func TestWhatIsWrongWithALevel(t *testing.T) {
	for text, want := range map[string][]string{
		`{spec: {type: Limited, limited: {limitResponse: {type: Reject}}}}`:             nil,
		`{spec: {type: Limited, limited: {limitResponse: {type: Queue, queuing: {}}}}}`: nil,
		`{spec: {}}`:              {"spec.type: Required value"},
		`{spec: {type: Limited}}`: {"spec.limited: Required value: must not be empty when type is Limited"},
		`{spec: {type: Exempt}}`:  {"spec.type: Invalid value: \"Exempt\": must be 'Exempt' if and only if `name` is 'exempt'"},
		`{spec: {type: Limited, exempt: {}, limited: {nominalConcurrencyShares: -1, lendablePercent: 101, borrowingLimitPercent: -1, limitResponse: {type: Queue}}}}`: {
			"spec.exempt: Forbidden: must be nil if the type is Limited",
			"spec.limited.nominalConcurrencyShares: Invalid value: -1: must be a non-negative integer",
			"spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
			"spec.limited.limitResponse.queuing: Required value: must not be empty if limited.limitResponse.type is Limited",
			"spec.limited.borrowingLimitPercent: Invalid value: -1: if specified, must be a non-negative integer",
		},
		`{spec: {type: Limited, limited: {limitResponse: {type: Queue, queuing: {queues: 4, handSize: 5, queueLengthLimit: -1}}}}}`: {
			"spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: -1: must be positive",
			"spec.limited.limitResponse.queuing.handSize: Invalid value: 5: should not be greater than queues (4)",
		},
		`{spec: {type: Limited, limited: {limitResponse: {type: Queue, queuing: {queues: 512, handSize: 8}}}}}`: {
			"spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 512 and handSize 8 should not be greater than 60",
		},
		`{metadata: {name: catch-all}, spec: {type: Limited, limited: {limitResponse: {type: Reject}}}}`: {"spec: Invalid value"},
		`{metadata: {name: exempt}, spec: {type: Exempt, exempt: {nominalConcurrencyShares: 7}}}`:        nil,
		`{metadata: {annotations: {flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares: ""}}, spec: {type: Limited, limited: {limitResponse: {type: Reject}}}}`: {
			"metadata.annotations: Forbidden",
		},
		`{spec: {type: Limited, limited: {limitResponse: {type: Reject}}}, status: {conditions: [{type: a}, {type: a}, {}]}}`: {
			`status.conditions[1].type: Duplicate value: "a"`, "status.conditions[2].type: Required value",
		},
	} {
		p := read[flowcontrolv1.PriorityLevelConfiguration](t, text)
		DefaultLevel(p)
		expect(t, text, validateLevel(p), want)
	}
}

func TestWhatEveryClusterHasIsValid(t *testing.T) {
	for _, s := range append(bootstrap.MandatoryFlowSchemas, bootstrap.SuggestedFlowSchemas...) {
		expect(t, s.Name, validateSchema(s), nil)
	}
	for _, p := range append(bootstrap.MandatoryPriorityLevelConfigurations, bootstrap.SuggestedPriorityLevelConfigurations...) {
		p = p.DeepCopy()
		DefaultLevel(p)
		expect(t, p.Name, validateLevel(p), nil)
	}
}
