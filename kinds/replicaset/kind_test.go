package replicaset

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

func replicaSetOf(t *testing.T, text string) *appsv1.ReplicaSet {
	t.Helper()
	r := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "r", Namespace: "default"}}
	if err := yaml.UnmarshalStrict([]byte(text), r); err != nil {
		t.Fatal(err)
	}
	Default(r)
	return r
}

const good = `{spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}}`

func TestGoodReplicaSetIsDefaultedAndAccepted(t *testing.T) {
	r := replicaSetOf(t, good)
	if errs := validate(t.Context(), r); len(errs) > 0 || *r.Spec.Replicas != 1 {
		t.Errorf("%v, replicas %d", errs, *r.Spec.Replicas)
	}
}

func TestSelectorIsRequiredAndImmutable(t *testing.T) {
	old, now := replicaSetOf(t, good), replicaSetOf(t, good)
	now.Spec.Selector = nil
	var got []string
	for _, err := range validateUpdate(t.Context(), now, old) {
		got = append(got, err.Error())
	}
	want := []string{
		"spec.selector: Required value",
		"spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
		"spec.selector: Invalid value: null: field is immutable",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestColumns(t *testing.T) {
	r := replicaSetOf(t, good)
	r.Status = appsv1.ReplicaSetStatus{Replicas: 2, ReadyReplicas: 1}
	want := []any{int64(1), int64(2), int64(1), "<unknown>", "c", "i", "a=b"}
	if got := cells(r); !slices.Equal(got, want) || len(columns()) != len(want)+1 {
		t.Errorf("got %v", got)
	}
}
