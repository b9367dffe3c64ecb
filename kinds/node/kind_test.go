package node

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/randfill"
	"sigs.k8s.io/yaml"

	"dhow/api/check"
)

func nodeOf(t *testing.T, text string) *corev1.Node {
	t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "w1"}}
	if err := yaml.UnmarshalStrict([]byte(text), n); err != nil {
		t.Fatal(err)
	}
	Default(n)
	return n
}

func text(errs field.ErrorList) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}

func TestDefaultMakesEverythingAllocatable(t *testing.T) {
	n := nodeOf(t, `{spec: {podCIDR: 10.42.0.0/24}, status: {capacity: {cpu: "2"}}}`)
	if n.Status.Allocatable.Cpu().Value() != 2 || !slices.Equal(n.Spec.PodCIDRs, []string{"10.42.0.0/24"}) {
		t.Errorf("%+v", n)
	}
}

func TestValidateSaysWhatIsWrongInUpstreamsWords(t *testing.T) {
	for name, c := range map[string]struct {
		node string
		want []string
	}{
		"good": {`{spec: {podCIDRs: [10.42.0.0/24, "fd00::/64"], taints: [{key: a, effect: NoSchedule}]}}`, nil},
		"taint twice": {`{spec: {taints: [{key: a, effect: NoSchedule}, {key: a, effect: NoSchedule}]}}`, []string{
			`metadata.taints[1]: Duplicate value: {"key":"a","effect":"NoSchedule"}: taints must be unique by key and effect pair`}},
		"effect": {`{spec: {taints: [{key: a, effect: Never}]}}`, []string{
			`metadata.taints[0].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"`}},
		"two of a family": {`{spec: {podCIDRs: [10.42.0.0/24, 10.43.0.0/24]}}`, []string{
			`spec.podCIDRs: Invalid value: ["10.42.0.0/24","10.43.0.0/24"]: may specify no more than one CIDR for each IP family`}},
		"capacity": {`{status: {capacity: {memory: "-1"}, allocatable: {}}}`, []string{
			`status.capacity.memory: Invalid value: "-1": must be greater than or equal to 0`}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := text(validate(t.Context(), nodeOf(t, c.node))); !slices.Equal(got, c.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestPodCIDRIsSetOnce(t *testing.T) {
	none, first, second := nodeOf(t, `{}`), nodeOf(t, `{spec: {podCIDR: 10.42.0.0/24}}`), nodeOf(t, `{spec: {podCIDR: 10.42.1.0/24}}`)
	if errs := validateUpdate(t.Context(), first, none); len(errs) > 0 {
		t.Error(errs.ToAggregate())
	}
	want := []string{`spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid`}
	if got := text(validateUpdate(t.Context(), second, first)); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestColumns(t *testing.T) {
	n := nodeOf(t, `{metadata: {labels: {node-role.kubernetes.io/control-plane: "", node-role.kubernetes.io/a: ""}}, spec: {unschedulable: true},
		status: {conditions: [{type: Ready, status: "True"}], addresses: [{type: InternalIP, address: 10.0.0.1}], nodeInfo: {kubeletVersion: v1.37.2, kernelVersion: "6.18", architecture: amd64,
		machineID: "", systemUUID: "", bootID: "", osImage: Debian, containerRuntimeVersion: "dhow://1", kubeProxyVersion: "", operatingSystem: linux}}}`)
	want := []any{"Ready,SchedulingDisabled", "a,control-plane", "<unknown>", "v1.37.2", "10.0.0.1", "<none>", "Debian", "6.18 (amd64)", "dhow://1"}
	if got := cells(n); !slices.Equal(got, want) || len(columns()) != len(want)+1 {
		t.Errorf("got %v", got)
	}
	if got := cells(nodeOf(t, `{}`)); got[0] != "Unknown" || got[1] != "<none>" {
		t.Errorf("empty: %v", got)
	}
}

func FuzzRulesNeverPanic(f *testing.F) {
	for seed := range 50 {
		f.Add(int64(seed))
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		var now, old corev1.Node
		fill := randfill.NewWithSeed(seed).NilChance(0.5).NumElements(0, 3)
		fill.Fill(&now)
		fill.Fill(&old)
		Default(&now)
		validateUpdate(t.Context(), &now, &old)
		cells(&now)
	})
}

func TestTheOlderPodCIDRDecides(t *testing.T) {
	n := &corev1.Node{Spec: corev1.NodeSpec{PodCIDR: "10.1.0.0/24", PodCIDRs: []string{"10.2.0.0/24", "fd00::/64"}}}
	Default(n)
	if len(n.Spec.PodCIDRs) != 1 || n.Spec.PodCIDRs[0] != "10.1.0.0/24" {
		t.Errorf("got %v", n.Spec.PodCIDRs)
	}
}

func TestDeclaredFeaturesAreNamesInOrder(t *testing.T) {
	var l check.List
	features(&l, []string{"Good/part", "Good/part", "bad", "Alpha"})
	var got []string
	for _, err := range l.Errors() {
		got = append(got, err.Field+" "+string(err.Type))
	}
	want := []string{"status.declaredFeatures[1] FieldValueDuplicate", "status.declaredFeatures[2] FieldValueInvalid", "status.declaredFeatures[3] FieldValueInvalid"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
