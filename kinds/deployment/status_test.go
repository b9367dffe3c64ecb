package deployment

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

func TestStatusCountsAllSets(t *testing.T) {
	o := newRollout(rolling(4, "1", "1"), []*appsv1.ReplicaSet{set("old", 3, 2), set("new", 2, 1)}, noon)
	two := int32(2)
	o.sets[0].Status.TerminatingReplicas = &two
	s, _ := o.status()
	got := fmt.Sprint(s.Replicas, s.UpdatedReplicas, s.ReadyReplicas, s.AvailableReplicas, s.UnavailableReplicas, *s.TerminatingReplicas, s.ObservedGeneration)
	if got != "5 2 3 3 2 2 1" {
		t.Errorf("got %s", got)
	}
	o.sets[1].Status.TerminatingReplicas = nil
	if s, _ := o.status(); *s.TerminatingReplicas != 2 {
		t.Error("a set that its controller has not looked at yet has no pods that end")
	}
	o.sets[1].Status.ObservedGeneration = 1
	if s, _ := o.status(); s.TerminatingReplicas != nil {
		t.Error("a sum over what is not known")
	}
}

// told are the conditions in short.
func told(s appsv1.DeploymentStatus) string {
	text := ""
	for _, c := range s.Conditions {
		text += fmt.Sprintf("%s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return text
}

func TestConditionsOfARollout(t *testing.T) {
	d := rolling(2, "1", "0")
	current := set("new", 2, 0)
	const lacking = "Available=False MinimumReplicasUnavailable: Deployment does not have minimum availability.\n"
	const enough = "Available=True MinimumReplicasAvailable: Deployment has minimum availability.\n"
	for _, step := range []struct {
		name string
		at   time.Duration
		edit func(o *rollout)
		want string
	}{
		{"made", 0, func(o *rollout) {
			o.progress = condition(appsv1.DeploymentProgressing, corev1.ConditionTrue, "NewReplicaSetCreated", `Created new replica set "new"`)
			current.Status.Replicas = 0
		}, lacking + "Progressing=True NewReplicaSetCreated: Created new replica set \"new\"\n"},
		{"pods", time.Second, func(*rollout) { current.Status.Replicas = 2 }, lacking + "Progressing=True ReplicaSetUpdated: ReplicaSet \"new\" is progressing.\n"},
		{"stuck", 602 * time.Second, nil, lacking + "Progressing=False ProgressDeadlineExceeded: ReplicaSet \"new\" has timed out progressing.\n"},
		{"paused when late", 603 * time.Second, func(o *rollout) { o.d.Spec.Paused = true }, lacking + "Progressing=False ProgressDeadlineExceeded: ReplicaSet \"new\" has timed out progressing.\n"},
		{"one serves", 604 * time.Second, func(o *rollout) { o.d.Spec.Paused = false; current.Status.AvailableReplicas = 1 }, lacking + "Progressing=True ReplicaSetUpdated: ReplicaSet \"new\" is progressing.\n"},
		{"paused", 605 * time.Second, func(o *rollout) { o.d.Spec.Paused = true }, lacking + "Progressing=Unknown DeploymentPaused: Deployment is paused\n"},
		{"resumed", 2000 * time.Second, func(o *rollout) { o.d.Spec.Paused = false }, lacking + "Progressing=Unknown DeploymentResumed: Deployment is resumed\n"},
		{"all serve", 2001 * time.Second, func(*rollout) { current.Status.AvailableReplicas = 2 }, enough + "Progressing=True NewReplicaSetAvailable: ReplicaSet \"new\" has successfully progressed.\n"},
		{"one fails later", 5000 * time.Second, func(*rollout) { current.Status.AvailableReplicas = 1 }, lacking + "Progressing=True NewReplicaSetAvailable: ReplicaSet \"new\" has successfully progressed.\n"},
		{"a pod is refused", 5001 * time.Second, func(*rollout) {
			current.Status.Conditions = []appsv1.ReplicaSetCondition{{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: "quota"}}
		}, lacking + "Progressing=True NewReplicaSetAvailable: ReplicaSet \"new\" has successfully progressed.\nReplicaFailure=True FailedCreate: quota\n"},
	} {
		t.Run(step.name, func(t *testing.T) {
			o := newRollout(d, []*appsv1.ReplicaSet{current}, noon.Add(step.at))
			if step.edit != nil {
				step.edit(o)
			}
			d.Status, _ = o.status()
			if got := told(d.Status); got != step.want {
				t.Errorf("got\n%swant\n%s", got, step.want)
			}
		})
	}
}

func TestDeadlineIsLookedAtInTime(t *testing.T) {
	d := rolling(2, "1", "0")
	o := newRollout(d, []*appsv1.ReplicaSet{set("new", 2, 0)}, noon)
	var after time.Duration
	d.Status, after = o.status()
	if after != 601*time.Second {
		t.Errorf("at the start: %v", after)
	}
	o = newRollout(d, []*appsv1.ReplicaSet{set("new", 2, 2)}, noon.Add(time.Minute))
	if d.Status, after = o.status(); after != 0 {
		t.Errorf("at the end: %v", after)
	}
}

func TestProgressIsNotWatchedWithoutADeadline(t *testing.T) {
	d := rolling(2, "1", "0")
	d.Status, _ = newRollout(d, []*appsv1.ReplicaSet{set("new", 2, 2)}, noon).status()
	d.Spec.ProgressDeadlineSeconds = nil
	s, after := newRollout(d, []*appsv1.ReplicaSet{set("new", 2, 2)}, noon).status()
	if progressOf(&s) != nil || after != 0 {
		t.Errorf("%v, %v", told(s), after)
	}
}
