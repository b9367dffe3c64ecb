package node

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// silence is how long a node may not be heard of before it counts as lost (upstream's node-monitor-grace-period).
	silence = 50 * time.Second
	// startup is that time for a node that has not said yet how it is (upstream's node-startup-grace-period).
	startup = time.Minute
)

func grace(node *corev1.Node) time.Duration {
	if condition(node, corev1.NodeReady) < 0 {
		return startup
	}
	return silence
}

const (
	unknownReason = "NodeStatusUnknown"
	neverReason   = "NodeStatusNeverUpdated"
)

// lost says of a node that nothing is known of it any more.
func lost(node *corev1.Node, now time.Time) *corev1.Node {
	node = node.DeepCopy()
	for _, kind := range []corev1.NodeConditionType{corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure} {
		i := condition(node, kind)
		if i < 0 {
			node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{
				Type: kind, Status: corev1.ConditionUnknown, Reason: neverReason, Message: "Kubelet never posted node status.",
				LastHeartbeatTime: node.CreationTimestamp, LastTransitionTime: metav1.NewTime(now),
			})
			continue
		}
		if c := &node.Status.Conditions[i]; c.Status != corev1.ConditionUnknown {
			c.Status, c.Reason, c.Message = corev1.ConditionUnknown, unknownReason, "Kubelet stopped posting node status."
			c.LastTransitionTime = metav1.NewTime(now)
		}
	}
	return node
}

func condition(node *corev1.Node, kind corev1.NodeConditionType) int {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == kind {
			return i
		}
	}
	return -1
}

func isReady(node *corev1.Node) bool {
	i := condition(node, corev1.NodeReady)
	return i >= 0 && node.Status.Conditions[i].Status == corev1.ConditionTrue
}

// disruption is how much of the cluster is not ready. When it is much, the fault is more likely in what connects the
// nodes to here, and pods are safer where they are.
type disruption int

const (
	someWell disruption = iota
	mostLost            // in the node's zone: no further pods are evicted
	allLost             // everywhere: none is evicted
)

// Bounds of mostLost, upstream's.
const (
	fewLost   = 2
	mostShare = 0.55
)

// disruptionOf counts the nodes around one, which stands for itself as it is given.
func disruptionOf(node *corev1.Node, all []*corev1.Node) disruption {
	if isReady(node) {
		return someWell
	}
	ready, readyHere, lostHere, counted := 0, 0, 0, 0
	for _, other := range all {
		if other.Name == node.Name {
			other = node
		}
		if _, excluded := other.Labels["node.kubernetes.io/exclude-disruption"]; excluded {
			continue
		}
		counted++
		here := zoneOf(other) == zoneOf(node)
		switch {
		case isReady(other):
			ready++
			if here {
				readyHere++
			}
		case here:
			lostHere++
		}
	}
	switch {
	case counted > 0 && ready == 0:
		return allLost
	case readyHere > 0 && lostHere > fewLost && float64(lostHere) >= mostShare*float64(lostHere+readyHere):
		return mostLost
	}
	return someWell
}

func zoneOf(node *corev1.Node) [2]string {
	return [2]string{node.Labels[corev1.LabelTopologyRegion], node.Labels[corev1.LabelTopologyZone]}
}

// unreadyPod is the pod of a node that is not ready, if that changes it.
func unreadyPod(pod *corev1.Pod, now time.Time) (*corev1.Pod, bool) {
	for i := range pod.Status.Conditions {
		if c := pod.Status.Conditions[i]; c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			pod = pod.DeepCopy()
			pod.Status.Conditions[i].Status, pod.Status.Conditions[i].Reason = corev1.ConditionFalse, "NodeNotReady"
			pod.Status.Conditions[i].LastTransitionTime = metav1.NewTime(now)
			return pod, true
		}
	}
	return pod, false
}
