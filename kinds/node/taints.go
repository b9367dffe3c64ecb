package node

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// conditionTaints keep new pods away from nodes in a state.
var conditionTaints = []struct {
	key    string
	kind   corev1.NodeConditionType
	status corev1.ConditionStatus
}{
	{corev1.TaintNodeNotReady, corev1.NodeReady, corev1.ConditionFalse},
	{corev1.TaintNodeUnreachable, corev1.NodeReady, corev1.ConditionUnknown},
	{corev1.TaintNodeMemoryPressure, corev1.NodeMemoryPressure, corev1.ConditionTrue},
	{corev1.TaintNodeDiskPressure, corev1.NodeDiskPressure, corev1.ConditionTrue},
	{corev1.TaintNodePIDPressure, corev1.NodePIDPressure, corev1.ConditionTrue},
	{corev1.TaintNodeNetworkUnavailable, corev1.NodeNetworkUnavailable, corev1.ConditionTrue},
}

// taintsFor are a node's own taints and those that its state asks for. Taints that stay keep their place and time.
func taintsFor(node *corev1.Node, d disruption, now time.Time) []corev1.Taint {
	wanted := mayEvict(stateTaints(node), node.Spec.Taints, d)
	var taints []corev1.Taint
	for _, t := range node.Spec.Taints {
		if !isStateTaint(t) || find(wanted, t) != nil {
			taints = append(taints, t)
		}
	}
	for _, want := range wanted {
		if find(taints, want) == nil {
			at := metav1.NewTime(now)
			want.TimeAdded = &at
			taints = append(taints, want)
		}
	}
	return taints
}

// mayEvict leaves out the taints that would evict pods, where so many nodes are not ready that none should be.
func mayEvict(wanted, have []corev1.Taint, d disruption) []corev1.Taint {
	evicting := slices.ContainsFunc(have, func(t corev1.Taint) bool { return t.Effect == corev1.TaintEffectNoExecute && isStateTaint(t) })
	if d == someWell || d == mostLost && evicting {
		return wanted
	}
	return slices.DeleteFunc(wanted, func(t corev1.Taint) bool { return t.Effect == corev1.TaintEffectNoExecute })
}

func stateTaints(node *corev1.Node) []corev1.Taint {
	var taints []corev1.Taint
	add := func(key string, effect corev1.TaintEffect) {
		taints = append(taints, corev1.Taint{Key: key, Effect: effect})
	}
	if condition(node, corev1.NodeReady) < 0 {
		add(corev1.TaintNodeNotReady, corev1.TaintEffectNoSchedule)
	}
	for _, t := range conditionTaints {
		i := condition(node, t.kind)
		if i < 0 || node.Status.Conditions[i].Status != t.status {
			continue
		}
		add(t.key, corev1.TaintEffectNoSchedule)
		if t.kind == corev1.NodeReady {
			add(t.key, corev1.TaintEffectNoExecute)
		}
	}
	if node.Spec.Unschedulable {
		add(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule)
	}
	return taints
}

// isStateTaint: it is this controller's to set and to lift.
func isStateTaint(t corev1.Taint) bool {
	if t.Key == corev1.TaintNodeUnschedulable {
		return t.Effect == corev1.TaintEffectNoSchedule
	}
	for _, own := range conditionTaints {
		if t.Key == own.key {
			return t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute && own.kind == corev1.NodeReady
		}
	}
	return false
}

func find(taints []corev1.Taint, like corev1.Taint) *corev1.Taint {
	for i := range taints {
		if taints[i].MatchTaint(&like) {
			return &taints[i]
		}
	}
	return nil
}
