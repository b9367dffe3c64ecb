package endpoints

import (
	"cmp"
	"fmt"
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

// plan lists a Service's pods of the primary IP family, those with the same ports together.
func plan(s *corev1.Service, pods []*corev1.Pod) *corev1.Endpoints {
	e := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace, Labels: labelsOf(s)}}
	v6 := len(s.Spec.IPFamilies) > 0 && s.Spec.IPFamilies[0] == corev1.IPv6Protocol
	subsets := map[string]*corev1.EndpointSubset{}
	last := s.CreationTimestamp.Time
	listed := slices.Clone(pods)
	slices.SortFunc(listed, func(a, b *corev1.Pod) int { return cmp.Compare(backends.Address(a, v6), backends.Address(b, v6)) })
	count := 0
	for _, pod := range listed {
		address := backends.Address(pod, v6)
		if !backends.Listed(pod) || address == "" || pod.DeletionTimestamp != nil {
			continue
		}
		if count++; count > mostAddresses {
			continue
		}
		add(subsets, s, pod, address)
		last = later(last, pod)
	}
	for _, key := range slices.Sorted(maps.Keys(subsets)) {
		e.Subsets = append(e.Subsets, *subsets[key])
	}
	e.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: last.UTC().Format(time.RFC3339)}
	if count > mostAddresses {
		e.Annotations[corev1.EndpointsOverCapacity] = "truncated"
	}
	return e
}

// add puts a pod into the subset of its ports.
func add(subsets map[string]*corev1.EndpointSubset, s *corev1.Service, pod *corev1.Pod, address string) {
	var ports []corev1.EndpointPort
	for _, p := range backends.Ports(s, pod) {
		port := corev1.EndpointPort{Name: p.Name, Port: p.Port, Protocol: p.Protocol}
		if p.AppProtocol != "" {
			port.AppProtocol = &p.AppProtocol
		}
		ports = append(ports, port)
	}
	if len(ports) == 0 && !backends.Headless(s) {
		return
	}
	key := ""
	for _, p := range ports {
		key += fmt.Sprintf("%s/%s/%d,", p.Name, p.Protocol, p.Port)
	}
	if subsets[key] == nil {
		subsets[key] = &corev1.EndpointSubset{Ports: ports}
	}
	a := corev1.EndpointAddress{
		IP: address, Hostname: backends.Hostname(s, pod),
		TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	if pod.Spec.NodeName != "" {
		a.NodeName = &pod.Spec.NodeName
	}
	if backends.Ready(pod) || s.Spec.PublishNotReadyAddresses {
		subsets[key].Addresses = append(subsets[key].Addresses, a)
		return
	}
	subsets[key].NotReadyAddresses = append(subsets[key].NotReadyAddresses, a)
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
