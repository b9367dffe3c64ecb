package replicaset

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"dhow/api/table"
)

// change is how many pods are missing, or which are too many.
type change struct {
	create int
	remove []*corev1.Pod
}

// mostAtOnce bounds one pass.
const mostAtOnce = 500

// plan compares the pods of a set with the number it asks for.
func plan(rs *appsv1.ReplicaSet, pods []*corev1.Pod, now time.Time) change {
	active := activeOf(pods)
	missing := int(table.Value(rs.Spec.Replicas)) - len(active)
	if missing >= 0 {
		return change{create: min(missing, mostAtOnce)}
	}
	ranked := rank(active, now)
	return change{remove: ranked[:min(-missing, mostAtOnce)]}
}

// activeOf leaves out what has ended or is going.
func activeOf(pods []*corev1.Pod) []*corev1.Pod {
	var active []*corev1.Pod
	for _, p := range pods {
		if p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			active = append(active, p)
		}
	}
	return active
}

// rank orders pods by who is missed least (upstream's order): first what does not run, then what its owner says costs
// little, then where a node has many, then what has been ready for less long, has restarted more, and is younger.
func rank(pods []*corev1.Pod, now time.Time) []*corev1.Pod {
	onNode := map[string]int{}
	for _, p := range pods {
		onNode[p.Spec.NodeName]++
	}
	ranked := slices.Clone(pods)
	slices.SortStableFunc(ranked, func(a, b *corev1.Pod) int {
		return cmp.Or(
			cmp.Compare(truth(a.Spec.NodeName != ""), truth(b.Spec.NodeName != "")),
			cmp.Compare(phaseRank(a), phaseRank(b)),
			cmp.Compare(truth(isReady(a)), truth(isReady(b))),
			cmp.Compare(deletionCost(a), deletionCost(b)),
			cmp.Compare(onNode[b.Spec.NodeName], onNode[a.Spec.NodeName]),
			cmp.Compare(ageRank(readySince(a), now), ageRank(readySince(b), now)),
			cmp.Compare(restarts(b), restarts(a)),
			cmp.Compare(ageRank(a.CreationTimestamp.Time, now), ageRank(b.CreationTimestamp.Time, now)),
			cmp.Compare(a.UID, b.UID),
		)
	})
	return ranked
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func phaseRank(p *corev1.Pod) int {
	switch p.Status.Phase {
	case corev1.PodRunning:
		return 2
	case corev1.PodUnknown:
		return 1
	}
	return 0
}

// ageRank puts ages into classes that double, so that among pods of about one age chance decides.
func ageRank(since, now time.Time) int {
	if since.IsZero() {
		return 0
	}
	age := now.Sub(since)
	if age < time.Second {
		return 1
	}
	return 2 + int(math.Log2(age.Seconds()))
}

func deletionCost(p *corev1.Pod) int {
	cost, err := strconv.ParseInt(p.Annotations[corev1.PodDeletionCost], 10, 32)
	if err != nil {
		return 0
	}
	return int(cost)
}

func restarts(p *corev1.Pod) int32 {
	most := int32(0)
	for _, c := range p.Status.ContainerStatuses {
		most = max(most, c.RestartCount)
	}
	return most
}

func readyCondition(p *corev1.Pod) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == corev1.PodReady {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

func isReady(p *corev1.Pod) bool {
	c := readyCondition(p)
	return c != nil && c.Status == corev1.ConditionTrue
}

func readySince(p *corev1.Pod) time.Time {
	if !isReady(p) {
		return time.Time{}
	}
	return readyCondition(p).LastTransitionTime.Time
}

// newPod is one of the set's, from its template.
func newPod(rs *appsv1.ReplicaSet) *corev1.Pod {
	template := rs.Spec.Template.DeepCopy()
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: rs.Name + "-", Namespace: rs.Namespace, Labels: template.Labels, Annotations: template.Annotations,
			Finalizers: template.Finalizers, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(rs, kind)},
		},
		Spec: template.Spec,
	}
}

// statusOf counts the set's pods. after is when the next one that is ready will have been so for long enough.
func statusOf(rs *appsv1.ReplicaSet, pods []*corev1.Pod, failed error, now time.Time) (status appsv1.ReplicaSetStatus, after time.Duration) {
	active := activeOf(pods)
	status = *rs.Status.DeepCopy()
	status.ObservedGeneration, status.Replicas = rs.Generation, int32(len(active))
	status.FullyLabeledReplicas, status.ReadyReplicas, status.AvailableReplicas = 0, 0, 0
	terminating := int32(0)
	for _, p := range pods {
		if p.DeletionTimestamp != nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
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
		left := readySince(p).Add(availableAfter(rs)).Sub(now)
		if rs.Spec.MinReadySeconds == 0 || left <= 0 {
			status.AvailableReplicas++
		} else if after == 0 || left < after {
			after = left
		}
	}
	setFailure(&status, rs, active, failed, now)
	return status, after
}

// setFailure is the condition that tells why pods could not be made or deleted.
func setFailure(status *appsv1.ReplicaSetStatus, rs *appsv1.ReplicaSet, active []*corev1.Pod, failed error, now time.Time) {
	i := slices.IndexFunc(status.Conditions, func(c appsv1.ReplicaSetCondition) bool { return c.Type == appsv1.ReplicaSetReplicaFailure })
	if failed == nil {
		if i >= 0 {
			status.Conditions = slices.Delete(status.Conditions, i, i+1)
		}
		return
	}
	reason := "FailedDelete"
	if len(active) < int(table.Value(rs.Spec.Replicas)) {
		reason = "FailedCreate"
	}
	if i >= 0 {
		return // the first failure is told until it is over
	}
	status.Conditions = append(status.Conditions, appsv1.ReplicaSetCondition{
		Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: reason, Message: failed.Error(), LastTransitionTime: metav1.NewTime(now),
	})
}
