package networkpolicy

import (
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

func read(t *testing.T, text string) *networkingv1.NetworkPolicy {
	t.Helper()
	p := &networkingv1.NetworkPolicy{}
	if err := yaml.UnmarshalStrict([]byte(text), p); err != nil {
		t.Fatal(err)
	}
	Default(p)
	return p
}

func TestWhatIsWrongWithAPolicy(t *testing.T) {
	for text, want := range map[string][]string{
		`{spec: {}}`: nil,
		`{spec: {ingress: [{ports: [{port: 80, endPort: 90}], from: [{podSelector: {}, namespaceSelector: {}}]}]}}`: nil,
		`{spec: {ingress: [{ports: [{endPort: 1}, {port: http, endPort: 1}, {port: 80, endPort: 79}, {protocol: ICMP, port: 0}]}]}}`: {
			"spec.ingress[0].ports[0].endPort: Invalid value: 1: may not be specified when `port` is not specified",
			"spec.ingress[0].ports[1].endPort: Invalid value: 1: may not be specified when `port` is non-numeric",
			"spec.ingress[0].ports[2].endPort: Invalid value: 80: must be greater than or equal to `port`",
			`spec.ingress[0].ports[3].protocol: Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"`,
			"spec.ingress[0].ports[3].port: Invalid value: 0: must be between 1 and 65535, inclusive",
		},
		`{spec: {egress: [{to: [{}, {podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}}`: {
			"spec.egress[0].to[0]: Required value: must specify a peer",
			"spec.egress[0].to[1]: Forbidden: may not specify both ipBlock and another peer",
		},
		`{spec: {egress: [{to: [{ipBlock: {cidr: ""}}, {ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8, 11.0.0.0/16, x]}}]}]}}`: {
			"spec.egress[0].to[0].ipBlock.cidr: Required value",
			"spec.egress[0].to[1].ipBlock.except[0]: Invalid value: \"10.0.0.0/8\": must be a strict subset of `cidr`",
			"spec.egress[0].to[1].ipBlock.except[1]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
			"spec.egress[0].to[1].ipBlock.except[2]: Invalid value: \"x\"",
		},
		`{spec: {policyTypes: [Ingress, Egress, Ingress]}}`: {"spec.policyTypes: Invalid value"},
		`{spec: {policyTypes: [Sideways]}}`:                 {`spec.policyTypes[0]: Unsupported value: "Sideways": supported values: "Ingress", "Egress"`},
		`{spec: {podSelector: {matchLabels: {a: "-"}}}}`:    {"spec.podSelector.matchLabels: Invalid value: \"-\""},
	} {
		var got []string
		for _, err := range validate(read(t, text), nil) {
			got = append(got, err.Error())
		}
		if len(got) != len(want) {
			t.Errorf("%s:\n got %q\nwant %q", text, got, want)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("%s:\n got %s\nwant %s", text, got[i], want[i])
			}
		}
	}
}

func TestUpdatesMayKeepOddRanges(t *testing.T) {
	old := read(t, `{spec: {ingress: [{from: [{ipBlock: {cidr: 10.1.2.3/8}}]}]}}`)
	if errs := validate(old, nil); len(errs) == 0 {
		t.Error("a new policy may not have a range with host bits")
	}
	now := read(t, `{spec: {egress: [{to: [{ipBlock: {cidr: 10.1.2.3/8}}]}]}}`)
	if errs := validate(now, old); len(errs) > 0 {
		t.Errorf("kept: %v", errs)
	}
}

func TestDefaultTypes(t *testing.T) {
	for text, want := range map[string]int{`{spec: {}}`: 1, `{spec: {egress: [{}]}}`: 2, `{spec: {policyTypes: [Egress]}}`: 1} {
		if got := read(t, text).Spec.PolicyTypes; len(got) != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
