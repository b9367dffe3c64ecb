package statefulset

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

func setOf(t *testing.T, text string) *appsv1.StatefulSet {
	t.Helper()
	s := &appsv1.StatefulSet{}
	if err := yaml.UnmarshalStrict([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	Default(s)
	return s
}

func text(errs field.ErrorList) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}

const good = `{spec: {serviceName: s, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [
	{name: c, image: i, volumeMounts: [{name: data, mountPath: /d}]}]}},
	volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}}`

func TestClaimsAreVolumesOfThePods(t *testing.T) {
	if errs := validate(t.Context(), setOf(t, good)); len(errs) > 0 {
		t.Error(errs.ToAggregate())
	}
	want := []string{"spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required"}
	if got := text(validate(t.Context(), setOf(t, strings.Replace(good, "[ReadWriteOnce]", "[]", 1)))); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestOnlySomeFieldsMayChange(t *testing.T) {
	old := setOf(t, good)
	scaled := setOf(t, strings.Replace(good, "serviceName", "replicas: 3, serviceName", 1))
	if errs := validateUpdate(t.Context(), scaled, old); len(errs) > 0 {
		t.Error(errs.ToAggregate())
	}
	moved := setOf(t, strings.Replace(good, "serviceName: s", "serviceName: t", 1))
	if got := text(validateUpdate(t.Context(), moved, old)); len(got) != 1 || !strings.HasPrefix(got[0], "spec: Forbidden: updates to statefulset spec for fields other than 'replicas'") {
		t.Errorf("got %q", got)
	}
}
