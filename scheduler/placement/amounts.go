package placement

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
)

// amounts are quantities of resources.
type amounts struct {
	milliCPU, memory, storage, pods int64
	others                          map[corev1.ResourceName]int64 // extended resources and huge pages
}

func amountsOf(list corev1.ResourceList) amounts {
	var a amounts
	for name, q := range list {
		switch name {
		case corev1.ResourceCPU:
			a.milliCPU = q.MilliValue()
		case corev1.ResourceMemory:
			a.memory = q.Value()
		case corev1.ResourceEphemeralStorage:
			a.storage = q.Value()
		case corev1.ResourcePods:
			a.pods = q.Value()
		default:
			if a.others == nil {
				a.others = map[corev1.ResourceName]int64{}
			}
			a.others[name] = q.Value()
		}
	}
	return a
}

func (a *amounts) add(b *amounts, times int64) {
	a.milliCPU += times * b.milliCPU
	a.memory += times * b.memory
	a.storage += times * b.storage
	a.pods += times * b.pods
	for name, amount := range b.others {
		if a.others == nil {
			a.others = map[corev1.ResourceName]int64{}
		}
		a.others[name] += times * amount
	}
}

// A container that asks for nothing counts as this much when nodes are compared, so that such pods spread too.
const (
	usualMilliCPU = 100
	usualMemory   = 200 << 20
)

// requestsOf are what a pod takes from a node (init containers, sidecars, overhead and pod-level requests
// included) exactly, and with the usual amounts filled in.
func requestsOf(pod *corev1.Pod) (exact, usual amounts) {
	options := resource.PodResourcesOptions{UseStatusResources: true}
	list := resource.PodRequests(pod, options)
	exact = amountsOf(list)
	exact.pods = 1
	usual = exact
	if full(pod) {
		return exact, usual
	}
	options.NonMissingContainerRequests = usualList
	filled := resource.PodRequests(pod, options)
	usual.milliCPU, usual.memory = filled.Cpu().MilliValue(), filled.Memory().Value()
	return exact, usual
}

// full says that every container asks for both CPU and memory.
func full(pod *corev1.Pod) bool {
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			_, cpu := list[i].Resources.Requests[corev1.ResourceCPU]
			_, memory := list[i].Resources.Requests[corev1.ResourceMemory]
			if !cpu || !memory {
				return false
			}
		}
	}
	return true
}
