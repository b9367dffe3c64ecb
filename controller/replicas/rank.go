package replicas

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"dhow/api/table"
)

// rank orders pods by who is missed least (upstream's order): first what does not run, then what its owner says costs
// little, then where a node has many, then what has been ready for less long, has restarted more, and is younger.
func rank(pods, related []*corev1.Pod, now time.Time) []*corev1.Pod {
	onNode := map[string]int{}
	for _, p := range activeOf(related) {
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
			byAge(a, b, readySince(a), readySince(b), now),
			cmp.Compare(restarts(b), restarts(a)),
			cmp.Compare(sidecarRestarts(b), sidecarRestarts(a)),
			byAge(a, b, a.CreationTimestamp.Time, b.CreationTimestamp.Time, now),
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

// byAge puts the younger first. Ages fall into classes that double; within one, chance (the UID) decides, lest the
// pods of a zone that came last are always the first to go.
func byAge(a, b *corev1.Pod, since, other, now time.Time) int {
	switch {
	case since.Equal(other):
		return 0
	case since.IsZero():
		return -1
	case other.IsZero():
		return 1
	}
	return cmp.Or(cmp.Compare(ageClass(now.Sub(since)), ageClass(now.Sub(other))), cmp.Compare(a.UID, b.UID))
}

func ageClass(age time.Duration) int {
	if age <= 0 {
		return -1
	}
	return int(math.Log2(float64(age)))
}

func deletionCost(p *corev1.Pod) int32 {
	cost, err := strconv.ParseInt(p.Annotations[corev1.PodDeletionCost], 10, 32)
	if err != nil {
		return 0
	}
	return int32(cost)
}

func restarts(p *corev1.Pod) int32 {
	most := int32(0)
	for _, c := range p.Status.ContainerStatuses {
		most = max(most, c.RestartCount)
	}
	return most
}

func sidecarRestarts(p *corev1.Pod) int32 {
	most := int32(0)
	for _, c := range p.Status.InitContainerStatuses {
		sidecar := slices.ContainsFunc(p.Spec.InitContainers, func(s corev1.Container) bool {
			return s.Name == c.Name && table.Value(s.RestartPolicy) == corev1.ContainerRestartPolicyAlways
		})
		if sidecar {
			most = max(most, c.RestartCount)
		}
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

// readySince is zero for a pod that is not ready.
func readySince(p *corev1.Pod) time.Time {
	if !isReady(p) {
		return time.Time{}
	}
	return readyCondition(p).LastTransitionTime.Time
}
