package client

import (
	"slices"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestChangesBetweenListsAreEvents(t *testing.T) {
	const created, running, exited = cri.ContainerState_CONTAINER_CREATED, cri.ContainerState_CONTAINER_RUNNING, cri.ContainerState_CONTAINER_EXITED
	pod := map[string]*cri.PodSandboxStatus{"p": {Id: "p"}}
	of := map[string]string{"a": "p", "b": "p", "c": "p", "d": "p"}
	before := snapshot{map[string]cri.ContainerState{"a": running, "b": created, "d": exited}, of, pod}
	now := snapshot{map[string]cri.ContainerState{"a": exited, "b": created, "c": running}, of, pod}
	var got []string
	for _, e := range changes(before, now, 5) {
		if e.PodSandboxStatus.GetId() != "p" || e.CreatedAt != 5 {
			t.Errorf("event %v", e)
		}
		got = append(got, e.ContainerId+" "+e.ContainerEventType.String())
	}
	slices.Sort(got)
	want := []string{"a CONTAINER_STOPPED_EVENT", "c CONTAINER_STARTED_EVENT", "d CONTAINER_DELETED_EVENT"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
