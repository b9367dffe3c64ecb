// Package backends says which pods are behind a Service, at which addresses and ports. EndpointSlices and Endpoints are
// two ways to write that down.
package backends

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"dhow/api/podspec"
)

// Chosen: the Service lists pods by a selector. Those without, and mere aliases, are for their owners to fill.
func Chosen(s *corev1.Service) bool {
	return len(s.Spec.Selector) > 0 && s.Spec.Type != corev1.ServiceTypeExternalName
}

// Selects says whether a Service lists pods with these labels.
func Selects(s *corev1.Service, set map[string]string) bool {
	return Chosen(s) && labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(set))
}

// Listed: the pod has an address and has not ended.
func Listed(pod *corev1.Pod) bool {
	return len(pod.Status.PodIPs) > 0 && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// Ready is the pod's own word.
func Ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Address is the pod's in an IP family, "" when it has none.
func Address(pod *corev1.Pod, v6 bool) string {
	for _, ip := range pod.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil && a.Unmap().Is6() == v6 {
			return ip.IP
		}
	}
	return ""
}

// Port is one of a Service's, as a pod has it.
type Port struct {
	Name        string
	Protocol    corev1.Protocol
	Port        int32
	AppProtocol string
}

// Ports are the Service's as this pod has them: a target that is a name is looked up among its containers'. A port that
// the pod does not have is left out.
func Ports(s *corev1.Service, pod *corev1.Pod) []Port {
	var all []Port
	for _, p := range s.Spec.Ports {
		number, found := target(p, pod)
		if !found {
			continue
		}
		port := Port{Name: p.Name, Protocol: p.Protocol, Port: number}
		if p.AppProtocol != nil {
			port.AppProtocol = *p.AppProtocol
		}
		all = append(all, port)
	}
	return all
}

func target(p corev1.ServicePort, pod *corev1.Pod) (int32, bool) {
	if p.TargetPort.Type == intstr.Int {
		return p.TargetPort.IntVal, true
	}
	for c := range podspec.Containers(&pod.Spec) {
		for _, port := range c.Ports {
			if port.Name == p.TargetPort.StrVal && port.Protocol == p.Protocol {
				return port.ContainerPort, true
			}
		}
	}
	return 0, false
}

// Hostname is the name that the pod has below a headless Service, "" when it has none.
func Hostname(s *corev1.Service, pod *corev1.Pod) string {
	if pod.Spec.Hostname != "" && pod.Spec.Subdomain == s.Name && pod.Namespace == s.Namespace {
		return pod.Spec.Hostname
	}
	return ""
}

// Headless: the Service has no address of its own.
func Headless(s *corev1.Service) bool { return s.Spec.ClusterIP == corev1.ClusterIPNone }

// Changed says whether a change of a pod can matter to a Service.
func Changed(before, after *corev1.Pod) bool {
	return Ready(before) != Ready(after) || Listed(before) != Listed(after) || (before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil) ||
		len(before.Status.PodIPs) != len(after.Status.PodIPs) || before.Status.PodIP != after.Status.PodIP ||
		before.Spec.NodeName != after.Spec.NodeName || !labels.Equals(before.Labels, after.Labels)
}
