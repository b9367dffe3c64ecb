package deployment

import (
	"fmt"
	"math"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/table"
)

// Reasons of conditions, upstream's.
const (
	reasonComplete = "NewReplicaSetAvailable"
	reasonUpdated  = "ReplicaSetUpdated"
	reasonTimedOut = "ProgressDeadlineExceeded"
	reasonPaused   = "DeploymentPaused"
	reasonResumed  = "DeploymentResumed"
	reasonNotMade  = "ReplicaSetCreateError"
)

func condition(kind appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, message string) *appsv1.DeploymentCondition {
	return &appsv1.DeploymentCondition{Type: kind, Status: status, Reason: reason, Message: message}
}

// status counts the pods of all sets and says how the rollout goes. after is when its deadline has passed.
func (o *rollout) status() (s appsv1.DeploymentStatus, after time.Duration) {
	s = *o.d.Status.DeepCopy()
	s.ObservedGeneration = o.d.Generation
	s.Replicas = total(o.sets, func(rs *appsv1.ReplicaSet) int32 { return rs.Status.Replicas })
	s.ReadyReplicas = total(o.sets, func(rs *appsv1.ReplicaSet) int32 { return rs.Status.ReadyReplicas })
	s.AvailableReplicas = total(o.sets, func(rs *appsv1.ReplicaSet) int32 { return rs.Status.AvailableReplicas })
	s.UpdatedReplicas = 0
	if o.current != nil {
		s.UpdatedReplicas = o.current.Status.Replicas
	}
	s.UnavailableReplicas = max(0, total(o.sets, size)-s.AvailableReplicas)
	s.TerminatingReplicas = o.terminating()
	o.setAvailable(&s)
	o.setProgress(&s)
	o.setFailure(&s)
	return s, o.deadline(&s)
}

func (o *rollout) terminating() *int32 {
	sum := int32(0)
	for _, rs := range o.sets {
		if rs.Status.TerminatingReplicas == nil && rs.Status.ObservedGeneration > 0 {
			return nil // not known
		}
		sum += table.Value(rs.Status.TerminatingReplicas)
	}
	return &sum
}

func (o *rollout) setAvailable(s *appsv1.DeploymentStatus) {
	if s.AvailableReplicas >= o.leastAvailable() {
		o.set(s, condition(appsv1.DeploymentAvailable, corev1.ConditionTrue, "MinimumReplicasAvailable", "Deployment has minimum availability."))
		return
	}
	o.set(s, condition(appsv1.DeploymentAvailable, corev1.ConditionFalse, "MinimumReplicasUnavailable", "Deployment does not have minimum availability."))
}

// hasDeadline: the rollout's progress is watched.
func hasDeadline(d *appsv1.Deployment) bool {
	return d.Spec.ProgressDeadlineSeconds != nil && *d.Spec.ProgressDeadlineSeconds != math.MaxInt32
}

func progressOf(s *appsv1.DeploymentStatus) *appsv1.DeploymentCondition {
	i := slices.IndexFunc(s.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Type == appsv1.DeploymentProgressing })
	if i < 0 {
		return nil
	}
	return &s.Conditions[i]
}

// complete: all pods are of the present template, and serve, and the controller has seen the present specification.
func (o *rollout) complete() bool {
	if o.current == nil {
		return o.replicas() == 0 && len(o.sets) == 0
	}
	n := o.replicas()
	updated := o.current.Status
	return updated.Replicas == n && updated.AvailableReplicas == n && updated.ObservedGeneration >= o.current.Generation &&
		total(o.sets, func(rs *appsv1.ReplicaSet) int32 { return rs.Status.Replicas }) == n
}

// name is the current set's, in messages.
func (o *rollout) name() string {
	if o.current == nil {
		return fmt.Sprintf("Deployment %q", o.d.Name)
	}
	return fmt.Sprintf("ReplicaSet %q", o.current.Name)
}

func (o *rollout) setProgress(s *appsv1.DeploymentStatus) {
	if !hasDeadline(o.d) {
		s.Conditions = slices.DeleteFunc(s.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Type == appsv1.DeploymentProgressing })
		return
	}
	if o.progress != nil {
		o.set(s, o.progress)
	}
	before := progressOf(s)
	switch {
	case o.d.Spec.Paused:
		if before == nil || before.Reason != reasonPaused && before.Reason != reasonTimedOut {
			o.set(s, condition(appsv1.DeploymentProgressing, corev1.ConditionUnknown, reasonPaused, "Deployment is paused"))
		}
		return
	case before != nil && before.Reason == reasonPaused:
		o.set(s, condition(appsv1.DeploymentProgressing, corev1.ConditionUnknown, reasonResumed, "Deployment is resumed"))
		return
	case before != nil && before.Reason == reasonComplete && s.Replicas == s.UpdatedReplicas && o.progress == nil:
		return // a pod that fails later is no rollout
	}
	switch {
	case o.complete():
		o.set(s, condition(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonComplete, o.name()+" has successfully progressed."))
	case o.moved(s):
		o.touch(s, condition(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonUpdated, o.name()+" is progressing."))
	case o.timedOut(s):
		o.set(s, condition(appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonTimedOut, o.name()+" has timed out progressing."))
	}
}

// moved: there is more of the new, or less of the old, than when the status was last written.
func (o *rollout) moved(s *appsv1.DeploymentStatus) bool {
	was := o.d.Status
	return s.UpdatedReplicas > was.UpdatedReplicas || s.Replicas-s.UpdatedReplicas < was.Replicas-was.UpdatedReplicas ||
		s.ReadyReplicas > was.ReadyReplicas || s.AvailableReplicas > was.AvailableReplicas
}

func (o *rollout) timedOut(s *appsv1.DeploymentStatus) bool {
	c := progressOf(s)
	if c == nil || c.Reason == reasonComplete {
		return false
	}
	return c.Reason == reasonTimedOut || !o.now.Before(o.ends(c))
}

func (o *rollout) ends(c *appsv1.DeploymentCondition) time.Time {
	return c.LastUpdateTime.Add(time.Duration(*o.d.Spec.ProgressDeadlineSeconds) * time.Second)
}

// deadline is how long the rollout has yet, 0 when there is nothing to wait for.
func (o *rollout) deadline(s *appsv1.DeploymentStatus) time.Duration {
	c := progressOf(s)
	if c == nil || !hasDeadline(o.d) || o.d.Spec.Paused || c.Reason == reasonComplete || c.Reason == reasonTimedOut {
		return 0
	}
	return max(time.Second, o.ends(c).Sub(o.now)+time.Second)
}

// setFailure passes on why a set could not make its pods.
func (o *rollout) setFailure(s *appsv1.DeploymentStatus) {
	for _, rs := range append([]*appsv1.ReplicaSet{o.current}, o.sets...) {
		if rs == nil {
			continue
		}
		for _, c := range rs.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure {
				o.set(s, condition(appsv1.DeploymentReplicaFailure, c.Status, c.Reason, c.Message))
				return
			}
		}
	}
	s.Conditions = slices.DeleteFunc(s.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Type == appsv1.DeploymentReplicaFailure })
}

// set puts a condition in, unless it says what is said already.
func (o *rollout) set(s *appsv1.DeploymentStatus, c *appsv1.DeploymentCondition) {
	for _, have := range s.Conditions {
		if have.Type == c.Type && have.Status == c.Status && have.Reason == c.Reason {
			return
		}
	}
	o.touch(s, c)
}

// touch puts a condition in with the time of now. The time of the transition stays as long as the status does.
func (o *rollout) touch(s *appsv1.DeploymentStatus, c *appsv1.DeploymentCondition) {
	now := metav1.NewTime(o.now)
	fresh := *c
	fresh.LastUpdateTime, fresh.LastTransitionTime = now, now
	for i, have := range s.Conditions {
		if have.Type == c.Type {
			if have.Status == c.Status {
				fresh.LastTransitionTime = have.LastTransitionTime
			}
			s.Conditions[i] = fresh
			return
		}
	}
	s.Conditions = append(s.Conditions, fresh)
}
