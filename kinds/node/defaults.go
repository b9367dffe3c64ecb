package node

import (
	corev1 "k8s.io/api/core/v1"

	"dhow/api/quantity"
)

// Default fills what a Node leaves open: everything it has may be used, and podCIDR is the first of podCIDRs.
func Default(n *corev1.Node) {
	quantity.Round(n.Status.Capacity)
	quantity.Round(n.Status.Allocatable)
	if n.Status.Allocatable == nil && n.Status.Capacity != nil {
		n.Status.Allocatable = n.Status.Capacity.DeepCopy()
	}
	switch {
	case n.Spec.PodCIDR != "" && (len(n.Spec.PodCIDRs) == 0 || n.Spec.PodCIDRs[0] != n.Spec.PodCIDR):
		n.Spec.PodCIDRs = []string{n.Spec.PodCIDR} // the older field decides
	case len(n.Spec.PodCIDRs) > 0 && n.Spec.PodCIDR == "":
		n.Spec.PodCIDR = n.Spec.PodCIDRs[0]
	}
}
