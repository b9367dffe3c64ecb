package endpoints

import (
	"cmp"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/backends"
)

// The label that marks Endpoints of this controller (KEP-4974).
const (
	managedByLabel = "endpoints.kubernetes.io/managed-by"
	managedBy      = "endpoint-controller"
)

// mostAddresses is how many an Endpoints object lists; EndpointSlices list all.
const mostAddresses = 1000

// plan lists a Service's pods of the primary IP family, ready ones first if there are too many.
func plan(s *corev1.Service, pods []*corev1.Pod) *corev1.Endpoints {
	e := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace, Labels: labelsOf(s)}}
	v6 := len(s.Spec.IPFamilies) > 0 && s.Spec.IPFamilies[0] == corev1.IPv6Protocol
	chosen := slices.DeleteFunc(slices.Clone(pods), func(pod *corev1.Pod) bool { return !listed(s, pod, v6) })
	slices.SortFunc(chosen, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(rank(s, a), rank(s, b)), cmp.Compare(backends.Address(a, v6), backends.Address(b, v6)))
	})
	over := len(chosen) > mostAddresses
	if over {
		chosen = chosen[:mostAddresses]
	}
	last := s.CreationTimestamp.Time
	var subsets []corev1.EndpointSubset
	for _, pod := range chosen {
		subsets = append(subsets, subset(s, pod, backends.Address(pod, v6)))
		last = later(last, pod)
	}
	e.Subsets = backends.Repack(subsets)
	e.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: last.UTC().Format(time.RFC3339Nano)}
	if over {
		e.Annotations[corev1.EndpointsOverCapacity] = "truncated"
	}
	return e
}

// listed: the pod has an address, and a port if the Service has any. Ending pods are only for those who want all.
func listed(s *corev1.Service, pod *corev1.Pod, v6 bool) bool {
	if !backends.Listed(pod) || backends.Address(pod, v6) == "" || pod.DeletionTimestamp != nil && !s.Spec.PublishNotReadyAddresses {
		return false
	}
	if len(s.Spec.Ports) == 0 {
		return backends.Headless(s)
	}
	return len(backends.Ports(s, pod)) > 0
}

// rank sorts ready pods before others.
func rank(s *corev1.Service, pod *corev1.Pod) int {
	if ready(s, pod) {
		return 0
	}
	return 1
}

func ready(s *corev1.Service, pod *corev1.Pod) bool {
	return s.Spec.PublishNotReadyAddresses || backends.Ready(pod)
}

// subset is of one pod alone.
func subset(s *corev1.Service, pod *corev1.Pod, address string) corev1.EndpointSubset {
	var one corev1.EndpointSubset
	for _, p := range backends.Ports(s, pod) {
		port := corev1.EndpointPort{Name: p.Name, Port: p.Port, Protocol: p.Protocol}
		if p.AppProtocol != "" {
			port.AppProtocol = &p.AppProtocol
		}
		one.Ports = append(one.Ports, port)
	}
	a := corev1.EndpointAddress{
		IP: address, Hostname: backends.Hostname(s, pod),
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	if pod.Spec.NodeName != "" {
		a.NodeName = &pod.Spec.NodeName
	}
	if ready(s, pod) {
		one.Addresses = []corev1.EndpointAddress{a}
	} else {
		one.NotReadyAddresses = []corev1.EndpointAddress{a}
	}
	return one
}

func later(last time.Time, pod *corev1.Pod) time.Time {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.LastTransitionTime.After(last) {
			last = c.LastTransitionTime.Time
		}
	}
	return last
}

func labelsOf(s *corev1.Service) map[string]string {
	all := maps.Clone(s.Labels)
	if all == nil {
		all = map[string]string{}
	}
	delete(all, corev1.IsHeadlessService)
	all[managedByLabel] = managedBy
	if backends.Headless(s) {
		all[corev1.IsHeadlessService] = ""
	}
	return all
}
