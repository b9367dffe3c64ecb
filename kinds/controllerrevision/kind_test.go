package controllerrevision

import (
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"dhow/api/check/checktest"
)

func make(t *testing.T, changes ...string) *appsv1.ControllerRevision {
	t.Helper()
	return checktest.Object[appsv1.ControllerRevision](t, `{metadata: {name: r}, revision: 1, data: {spec: {}}}`, changes...)
}

func TestValidate(t *testing.T) {
	for change, want := range map[string][]string{
		``:               nil,
		`{revision: -1}`: {"revision: Invalid value: -1: must be greater than or equal to 0"},
		`{data: null}`:   {"data: Required value: data is mandatory"},
		`{data: [1]}`:    {"data: Required value: data must be a valid JSON object"},
	} {
		checktest.Want(t, validate(t.Context(), make(t, change)), want...)
	}
}

func TestDataIsImmutable(t *testing.T) {
	old := make(t)
	checktest.Want(t, validateUpdate(t.Context(), make(t, `{revision: 5}`), old))
	if errs := validateUpdate(t.Context(), make(t, `{data: {spec: {a: b}}}`), old); len(errs) != 1 || errs[0].Field != "data" {
		t.Errorf("got %v", errs)
	}
}

func TestControllerIsNamedWithItsKind(t *testing.T) {
	for owner, want := range map[string]string{
		``: "<none>",
		`{metadata: {ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: u, controller: true}]}}`: "statefulset.apps/web",
	} {
		if got := fmt.Sprint(controllerOf(make(t, owner))); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
