package daemonset

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

func setOf(t *testing.T, text string) *appsv1.DaemonSet {
	t.Helper()
	d := &appsv1.DaemonSet{}
	if err := yaml.UnmarshalStrict([]byte(text), d); err != nil {
		t.Fatal(err)
	}
	Default(d)
	return d
}

const good = `{spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}`

func TestRollingUpdateGoesDownOrUp(t *testing.T) {
	for strategy, want := range map[string][]string{
		"{}": nil,
		"{rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}": nil,
		"{rollingUpdate: {maxUnavailable: 1, maxSurge: 1}}": {"spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"},
		"{rollingUpdate: {maxUnavailable: 0}}":              {"spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"},
	} {
		var got []string
		for _, err := range validate(t.Context(), setOf(t, strings.Replace(good, "selector", "updateStrategy: "+strategy+", selector", 1))) {
			got = append(got, err.Error())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q", strategy, got)
		}
	}
}

func TestColumns(t *testing.T) {
	d := setOf(t, good)
	d.Status = appsv1.DaemonSetStatus{DesiredNumberScheduled: 3, CurrentNumberScheduled: 2, NumberReady: 1}
	want := []any{int64(3), int64(2), int64(1), int64(0), int64(0), "<none>", "<unknown>", "c", "i", "a=b"}
	if got := cells(d); !slices.Equal(got, want) || len(columns()) != len(want)+1 {
		t.Errorf("got %v", got)
	}
}

func TestChangesOfTheTemplateAreCounted(t *testing.T) {
	old := &appsv1.DaemonSet{}
	countTemplate(old, nil)
	same, changed := old.DeepCopy(), old.DeepCopy()
	same.Annotations = nil
	countTemplate(same, old)
	changed.Spec.Template.Labels = map[string]string{"a": "b"}
	countTemplate(changed, old)
	const key = "deprecated.daemonset.template.generation"
	if got := []string{old.Annotations[key], same.Annotations[key], changed.Annotations[key]}; !slices.Equal(got, []string{"1", "1", "2"}) {
		t.Errorf("got %q", got)
	}
}
