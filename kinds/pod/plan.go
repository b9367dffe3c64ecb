package pod

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// quarantine is how long a node must be gone before its pods are.
	quarantine = 40 * time.Second
	// mostEnded pods may lie about (upstream's terminated-pod-gc-threshold).
	mostEnded = 12500
)

// reason is why a pod is collected.
type reason int

const (
	nodeGone reason = iota
	neverPlaced
	nodeOutOfService
	tooManyEnded
)

type doom struct {
	pod *corev1.Pod
	why reason
}

// collection is what to do now, what to remember, and how soon to look again.
type collection struct {
	doomed  []doom
	missing map[string]time.Time
	after   time.Duration
}

// plan chooses the pods that nobody else will delete. missing says since when nodes have been missed.
func plan(pods []*corev1.Pod, nodes []*corev1.Node, missing map[string]time.Time, now time.Time) collection {
	known := map[string]*corev1.Node{}
	for _, n := range nodes {
		known[n.Name] = n
	}
	todo := collection{missing: map[string]time.Time{}, after: collectEvery}
	var ended []*corev1.Pod
	for _, pod := range pods {
		name := pod.Spec.NodeName
		node, there := known[name]
		switch {
		case name == "" && pod.DeletionTimestamp != nil:
			todo.doomed = append(todo.doomed, doom{pod, neverPlaced})
		case name != "" && !there:
			if left := todo.miss(name, missing, now); left > 0 {
				todo.after = min(todo.after, left)
				continue
			}
			todo.doomed = append(todo.doomed, doom{pod, nodeGone})
		case there && pod.DeletionTimestamp != nil && outOfService(node):
			todo.doomed = append(todo.doomed, doom{pod, nodeOutOfService})
		case phaseEnded(pod):
			ended = append(ended, pod)
		}
	}
	for _, pod := range surplus(ended, mostEnded) {
		todo.doomed = append(todo.doomed, doom{pod, tooManyEnded})
	}
	return todo
}

// miss notes that a node is not there, and returns how long it may yet come back.
func (c *collection) miss(node string, before map[string]time.Time, now time.Time) time.Duration {
	since, known := before[node]
	if !known {
		since = now
	}
	c.missing[node] = since
	return since.Add(quarantine).Sub(now)
}

// surplus are those above most: evicted ones first, then the oldest.
func surplus(ended []*corev1.Pod, most int) []*corev1.Pod {
	if len(ended) <= most {
		return nil
	}
	slices.SortFunc(ended, func(a, b *corev1.Pod) int {
		switch evicted := isEvicted(a); {
		case evicted != isEvicted(b) && evicted:
			return -1
		case evicted != isEvicted(b):
			return 1
		}
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return ended[:len(ended)-most]
}

func phaseEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func isEvicted(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodFailed && pod.Status.Reason == "Evicted"
}

// outOfService: someone has declared the node dead, and it does not say otherwise.
func outOfService(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return false
		}
	}
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService })
}

// failedPod is the pod with an end: nobody is left to report another.
func failedPod(d doom) *corev1.Pod {
	pod := d.pod.DeepCopy()
	pod.Status.Phase, pod.Status.ObservedGeneration = corev1.PodFailed, pod.Generation
	if d.why == nodeGone {
		setCondition(&pod.Status, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByPodGC",
			Message: "PodGC: node no longer exists", ObservedGeneration: pod.Generation,
		})
	}
	return pod
}
