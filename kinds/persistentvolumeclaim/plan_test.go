package persistentvolumeclaim

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/check/checktest"
)

func TestWhichPodsUseAndHoldAClaim(t *testing.T) {
	const owned = `{metadata: {name: p-data, ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: u, controller: true}]}}`
	for name, c := range map[string]struct {
		claim, pod  string
		uses, holds bool
	}{
		"waits for a node":     {"", `{}`, true, false},
		"runs":                 {"", `{spec: {nodeName: n1}}`, true, true},
		"has succeeded":        {"", `{spec: {nodeName: n1}, status: {phase: Succeeded}}`, false, true},
		"ends":                 {"", `{metadata: {deletionTimestamp: "2026-01-01T00:00:00Z"}, spec: {nodeName: n1}, status: {containerStatuses: [{state: {running: {}}}]}}`, true, true},
		"has ended":            {"", `{metadata: {deletionTimestamp: "2026-01-01T00:00:00Z"}, spec: {nodeName: n1}, status: {containerStatuses: [{state: {terminated: {}}}]}}`, false, true},
		"another's":            {"", `{spec: {nodeName: n1, volumes: [{name: data, persistentVolumeClaim: {claimName: d}}]}}`, false, false},
		"ephemeral":            {owned, `{spec: {nodeName: n1, volumes: [{name: data, ephemeral: {}}]}}`, true, true},
		"ephemeral, not its":   {`{metadata: {name: p-data}}`, `{spec: {nodeName: n1, volumes: [{name: data, ephemeral: {}}]}}`, false, false},
		"ephemeral, shut down": {owned, `{metadata: {deletionTimestamp: "2026-01-01T00:00:00Z", deletionGracePeriodSeconds: 0}, spec: {nodeName: n1, volumes: [{name: data, ephemeral: {}}]}}`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			claim := claim(t, "{metadata: {namespace: ns}}", c.claim)
			pod := checktest.Object[corev1.Pod](t, `{metadata: {name: p, namespace: ns, uid: u}, spec: {volumes: [{name: data, persistentVolumeClaim: {claimName: c}}]}}`, c.pod)
			if got := uses(pod, claim); got != c.uses {
				t.Errorf("uses: %t", got)
			}
			if got := holds(pod, claim); got != c.holds {
				t.Errorf("holds: %t", got)
			}
			known := holdings{}
			known.add(pod)
			if got := known.hold(claim); got != c.holds {
				t.Errorf("by the list: %t", got)
			}
		})
	}
}

func TestUnusedSaysSinceWhen(t *testing.T) {
	now := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	c := claim(t, `{status: {conditions: [{type: Resizing, status: "True"}]}}`)
	unused := planUnused(c, false, now)
	if at := unusedCondition(unused); at != 1 || unused.Status.Conditions[1].Status != corev1.ConditionTrue ||
		unused.Status.Conditions[1].Reason != "NoPodsUsingPVC" || !unused.Status.Conditions[1].LastTransitionTime.Equal(&now) {
		t.Errorf("conditions %+v", unused.Status.Conditions)
	}
	if planUnused(unused, false, metav1.Now()) != nil {
		t.Error("the same is said again")
	}
	used := planUnused(unused, true, now)
	if used == nil || len(used.Status.Conditions) != 2 || used.Status.Conditions[1].Status != corev1.ConditionFalse || used.Status.Conditions[1].Reason != "PodUsingPVC" {
		t.Errorf("conditions %+v", used)
	}
	if len(c.Status.Conditions) != 1 || unused.Status.Conditions[1].Status != corev1.ConditionTrue {
		t.Error("a shared object was changed")
	}
}
