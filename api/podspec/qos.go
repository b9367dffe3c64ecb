package podspec

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// QOSClass is the quality of service that a pod's requests and limits of cpu and memory amount to: Guaranteed
// when limits are set and equal to requests, BestEffort when there are neither, else Burstable. Resources of the
// pod as a whole, where set, decide alone.
func QOSClass(pod *corev1.Pod) corev1.PodQOSClass {
	asked, equal := false, true
	if r := pod.Spec.Resources; r != nil {
		asked, equal = hasCompute(r), guaranteed(r)
	} else {
		for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
			for i := range containers {
				asked = asked || hasCompute(&containers[i].Resources)
				equal = equal && guaranteed(&containers[i].Resources)
			}
		}
	}
	switch {
	case !asked:
		return corev1.PodQOSBestEffort
	case equal:
		return corev1.PodQOSGuaranteed
	default:
		return corev1.PodQOSBurstable
	}
}

var computeResources = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}

func hasCompute(r *corev1.ResourceRequirements) bool {
	for _, name := range computeResources {
		if positive(r.Requests, name) || positive(r.Limits, name) {
			return true
		}
	}
	return false
}

func guaranteed(r *corev1.ResourceRequirements) bool {
	for _, name := range computeResources {
		request := r.Requests[name]
		if !positive(r.Limits, name) || request.Cmp(r.Limits[name]) != 0 {
			return false
		}
	}
	return true
}

func positive(list corev1.ResourceList, name corev1.ResourceName) bool {
	amount, there := list[name]
	return there && amount.Cmp(resource.Quantity{}) > 0
}
