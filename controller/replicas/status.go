package replicas

import (
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"dhow/api/table"
)

// statusOf counts the set's pods. after is when the next one that is ready will have been so for long enough.
func statusOf(rs *appsv1.ReplicaSet, pods []*corev1.Pod, failed error, now time.Time) (status appsv1.ReplicaSetStatus, after time.Duration) {
	active := activeOf(pods)
	status = *rs.Status.DeepCopy()
	status.ObservedGeneration, status.Replicas = rs.Generation, int32(len(active))
	status.FullyLabeledReplicas, status.ReadyReplicas, status.AvailableReplicas = 0, 0, 0
	terminating := int32(0)
	for _, p := range pods {
		if isTerminating(p) {
			terminating++
		}
	}
	status.TerminatingReplicas = &terminating
	template := labels.SelectorFromSet(rs.Spec.Template.Labels)
	for _, p := range active {
		if template.Matches(labels.Set(p.Labels)) {
			status.FullyLabeledReplicas++
		}
		if !isReady(p) {
			continue
		}
		status.ReadyReplicas++
		left := untilAvailable(rs, p, now)
		if left == 0 {
			status.AvailableReplicas++
		} else if after == 0 || left < after {
			after = left
		}
	}
	setFailure(&status, rs, active, failed, now)
	return status, after
}

// untilAvailable is for how long a ready pod must yet stay so before it counts as available.
func untilAvailable(rs *appsv1.ReplicaSet, p *corev1.Pod, now time.Time) time.Duration {
	wait := time.Duration(rs.Spec.MinReadySeconds) * time.Second
	if since := readySince(p); !since.IsZero() {
		wait -= now.Sub(since)
	}
	if rs.Spec.MinReadySeconds == 0 {
		return 0
	}
	return max(0, wait)
}

// setFailure is the condition that tells why pods could not be made or deleted.
func setFailure(status *appsv1.ReplicaSetStatus, rs *appsv1.ReplicaSet, active []*corev1.Pod, failed error, now time.Time) {
	i := slices.IndexFunc(status.Conditions, func(c appsv1.ReplicaSetCondition) bool { return c.Type == appsv1.ReplicaSetReplicaFailure })
	switch {
	case failed == nil && i >= 0:
		status.Conditions = slices.Delete(status.Conditions, i, i+1)
	case failed != nil && i < 0: // the first failure is told until it is over
		reason := "FailedDelete"
		if len(active) < int(table.Value(rs.Spec.Replicas)) {
			reason = "FailedCreate"
		}
		status.Conditions = append(status.Conditions, appsv1.ReplicaSetCondition{
			Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: reason, Message: failed.Error(), LastTransitionTime: metav1.NewTime(now),
		})
	}
}
