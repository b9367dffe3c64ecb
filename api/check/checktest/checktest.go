// Package checktest makes objects from a few words of YAML, and compares what is wrong with them with what a test
// expects.
package checktest

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// Object is YAML as an object, with changes, which are YAML too, merged in one after the other: maps by their keys,
// null takes away, anything else replaces.
func Object[T any](t testing.TB, text string, changes ...string) *T {
	t.Helper()
	merged := map[string]any{}
	for _, part := range append([]string{text}, changes...) {
		if part == "" {
			continue
		}
		var change map[string]any
		if err := yaml.Unmarshal([]byte(part), &change); err != nil {
			t.Fatalf("%v in %s", err, part)
		}
		merge(merged, change)
	}
	data, err := yaml.Marshal(merged)
	if err != nil {
		t.Fatal(err)
	}
	o := new(T)
	if err := yaml.UnmarshalStrict(data, o); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return o
}

func merge(into, change map[string]any) {
	for key, value := range change {
		below, isMap := value.(map[string]any)
		was, wasMap := into[key].(map[string]any)
		switch {
		case value == nil:
			delete(into, key)
		case isMap && wasMap:
			merge(was, below)
		default:
			into[key] = value
		}
	}
}

// Want compares errors with their texts, in whatever order they come.
func Want(t testing.TB, errs field.ErrorList, want ...string) {
	t.Helper()
	var got []string
	for _, err := range errs {
		got = append(got, err.Error())
	}
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}
