package node

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"

	"dhow/api/admit"
)

// TaintNodesByCondition keeps pods away from a new node until its controller has seen it ready.
func TaintNodesByCondition() admission.Interface {
	return newNodeTaint{admission.NewHandler(admission.Create)}
}

type newNodeTaint struct{ *admission.Handler }

var _ admission.MutationInterface = newNodeTaint{}

// Admit taints.
func (newNodeTaint) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	node, ok := admit.Object[*corev1.Node](a, nodesResource)
	if !ok {
		return nil
	}
	notReady := corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	for _, t := range node.Spec.Taints {
		if t.MatchTaint(&notReady) {
			return nil
		}
	}
	node.Spec.Taints = append(node.Spec.Taints, notReady)
	return nil
}
