package service

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"

	"dhow/api/table"
)

func columns() []metav1.TableColumnDefinition {
	doc := corev1.ServiceSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Column("Type", doc["type"]),
		table.Column("Cluster-IP", doc["clusterIP"]),
		table.Column("External-IP", doc["externalIPs"]),
		table.Column("Port(s)", doc["ports"]),
		table.Age(),
		table.Wide("Selector", doc["selector"]),
	}
}

func cells(s *corev1.Service) []any {
	ip := "<none>"
	if len(s.Spec.ClusterIPs) > 0 {
		ip = s.Spec.ClusterIPs[0]
	}
	return []any{
		string(s.Spec.Type), ip, externalIP(s), table.Or(portList(s.Spec.Ports), "<none>"),
		table.Since(s.CreationTimestamp), labels.FormatLabels(s.Spec.Selector),
	}
}

// externalIP is where the Service can be reached from outside.
func externalIP(s *corev1.Service) string {
	external := strings.Join(s.Spec.ExternalIPs, ",")
	switch s.Spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort:
		return table.Or(external, "<none>")
	case corev1.ServiceTypeLoadBalancer:
		balanced := ingress(s)
		if balanced != "" && external != "" {
			return balanced + "," + external
		}
		return table.Or(balanced+external, "<pending>")
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	}
	return "<unknown>"
}

// maxIngress is how much of the load balancer's addresses is shown.
const maxIngress = 16

func ingress(s *corev1.Service) string {
	all := sets.Set[string]{}
	for _, in := range s.Status.LoadBalancer.Ingress {
		if at := table.Or(in.IP, in.Hostname); at != "" {
			all.Insert(at)
		}
	}
	text := strings.Join(sets.List(all), ",")
	if len(text) > maxIngress {
		return text[:maxIngress-3] + "..."
	}
	return text
}

func portList(ports []corev1.ServicePort) string {
	var all []string
	for _, p := range ports {
		if p.NodePort > 0 {
			all = append(all, fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol))
		} else {
			all = append(all, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
		}
	}
	return strings.Join(all, ",")
}

func warn(_ context.Context, s, _ *corev1.Service) []string {
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if _, old := s.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]; old {
		add("annotation %s is deprecated, please use %s instead", corev1.DeprecatedAnnotationTopologyAwareHints, corev1.AnnotationTopologyMode)
	}
	named := s.Spec.Type == corev1.ServiceTypeExternalName
	if headless(s) {
		if s.Spec.LoadBalancerIP != "" {
			add("spec.loadBalancerIP is ignored for headless services")
		}
		if len(s.Spec.ExternalIPs) > 0 {
			add("spec.externalIPs is ignored for headless services")
		}
		if s.Spec.SessionAffinity != corev1.ServiceAffinityNone {
			add("spec.SessionAffinity is ignored for headless services")
		}
	} else {
		for i, ip := range s.Spec.ClusterIPs {
			all = append(all, validation.GetWarningsForIP(spec.Child("clusterIPs").Index(i), ip)...)
		}
	}
	for i, ip := range s.Spec.ExternalIPs {
		all = append(all, validation.GetWarningsForIP(spec.Child("externalIPs").Index(i), ip)...)
	}
	if len(s.Spec.ExternalIPs) > 0 && !headless(s) && !named {
		add("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
	}
	for i, cidr := range s.Spec.LoadBalancerSourceRanges {
		all = append(all, validation.GetWarningsForCIDR(spec.Child("loadBalancerSourceRanges").Index(i), strings.TrimSpace(cidr))...)
	}
	if named && len(s.Spec.ExternalIPs) > 0 {
		add("spec.externalIPs is ignored when spec.type is %q", corev1.ServiceTypeExternalName)
	}
	if !named && s.Spec.ExternalName != "" {
		add("spec.externalName is ignored when spec.type is not %q", corev1.ServiceTypeExternalName)
	}
	if d := s.Spec.TrafficDistribution; d != nil && *d == corev1.ServiceTrafficDistributionPreferClose {
		add("spec.trafficDistribution: %q is deprecated; use %q", corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone)
	}
	return all
}
