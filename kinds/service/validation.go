package service

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

var spec = field.NewPath("spec")

// validate checks a Service; old, nil on create, is what may stay as it is.
func validate(s, old *corev1.Service) field.ErrorList {
	var l check.List
	topologyAnnotations(&l, s)
	if len(s.Spec.Ports) == 0 && !headless(s) && needsClusterIP(s) {
		l.Required(spec.Child("ports"), "")
	}
	byType(&l, s)
	servicePorts(&l, s)
	l.Labels(spec.Child("selector"), s.Spec.Selector)
	affinity(&l, s)
	l.Add(validateClusterIPs(s, old)...)
	externalIPs(&l, s, old)
	check.OneOf(&l, spec.Child("type"), s.Spec.Type, corev1.ServiceTypeClusterIP, corev1.ServiceTypeExternalName,
		corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort)
	loadBalancer(&l, s, old)
	traffic(&l, s)
	return l.Errors()
}

func topologyAnnotations(l *check.List, s *corev1.Service) {
	hints, hasHints := s.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]
	mode, hasMode := s.Annotations[corev1.AnnotationTopologyMode]
	if hasHints && hasMode && hints != mode {
		l.Invalid(field.NewPath("metadata", "annotations").Key(corev1.AnnotationTopologyMode), mode,
			fmt.Sprintf("must match annotations[%s] when both are specified", corev1.DeprecatedAnnotationTopologyAwareHints))
	}
}

func byType(l *check.List, s *corev1.Service) {
	switch s.Spec.Type {
	case corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeNodePort:
		if headless(s) {
			l.Invalid(spec.Child("clusterIPs").Index(0), corev1.ClusterIPNone,
				fmt.Sprintf("may not be set to 'None' for %s services", s.Spec.Type))
		}
	case corev1.ServiceTypeExternalName:
		const detail = "may not be set for ExternalName services"
		if len(s.Spec.ClusterIPs) > 0 {
			l.Forbidden(spec.Child("clusterIPs"), detail)
		}
		if len(s.Spec.IPFamilies) > 0 {
			l.Forbidden(spec.Child("ipFamilies"), detail)
		}
		if s.Spec.IPFamilyPolicy != nil {
			l.Forbidden(spec.Child("ipFamilyPolicy"), detail)
		}
		if name := strings.TrimSuffix(s.Spec.ExternalName, "."); l.NonEmpty(spec.Child("externalName"), name) {
			l.Subdomain(spec.Child("externalName"), name)
		}
	}
}

func servicePorts(l *check.List, s *corev1.Service) {
	names, onNodes, inside := sets.Set[string]{}, sets.Set[portKey]{}, sets.Set[portKey]{}
	for i := range s.Spec.Ports {
		p, at := &s.Spec.Ports[i], spec.Child("ports").Index(i)
		if len(s.Spec.Ports) > 1 || p.Name != "" {
			portName(l, at.Child("name"), p.Name, names)
		}
		l.PortNumber(at.Child("port"), p.Port)
		check.OneOf(l, at.Child("protocol"), p.Protocol, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
		l.PortNumberOrName(at.Child("targetPort"), p.TargetPort)
		if p.AppProtocol != nil {
			l.Qualified(at.Child("appProtocol"), *p.AppProtocol)
		}
		if key := (portKey{p.Protocol, p.NodePort}); p.NodePort != 0 {
			if s.Spec.Type == corev1.ServiceTypeClusterIP {
				l.Forbidden(at.Child("nodePort"), "may not be used when `type` is 'ClusterIP'")
			}
			if onNodes.Has(key) {
				l.Duplicate(at.Child("nodePort"), p.NodePort)
			}
			onNodes.Insert(key)
		}
		if key := (portKey{p.Protocol, p.Port}); inside.Has(key) {
			l.Duplicate(at, corev1.ServicePort{Protocol: p.Protocol, Port: p.Port})
		} else {
			inside.Insert(key)
		}
	}
}

func portName(l *check.List, at *field.Path, name string, names sets.Set[string]) {
	if !l.NonEmpty(at, name) {
		return
	}
	l.Label(at, name)
	if names.Has(name) {
		l.Duplicate(at, name)
	}
	names.Insert(name)
}

const maxAffinitySeconds = 86400

func affinity(l *check.List, s *corev1.Service) {
	check.OneOf(l, spec.Child("sessionAffinity"), s.Spec.SessionAffinity, corev1.ServiceAffinityClientIP, corev1.ServiceAffinityNone)
	c, at := s.Spec.SessionAffinityConfig, spec.Child("sessionAffinityConfig")
	switch s.Spec.SessionAffinity {
	case corev1.ServiceAffinityNone:
		if c != nil {
			l.Forbidden(at, "must not be set when session affinity is None")
		}
	case corev1.ServiceAffinityClientIP:
		const missing = "when session affinity type is ClientIP"
		switch {
		case c == nil:
			l.Required(at, missing)
		case c.ClientIP == nil:
			l.Required(at.Child("clientIP"), missing)
		case c.ClientIP.TimeoutSeconds == nil:
			l.Required(at.Child("clientIP", "timeoutSeconds"), missing)
		case *c.ClientIP.TimeoutSeconds <= 0 || *c.ClientIP.TimeoutSeconds > maxAffinitySeconds:
			l.Invalid(at.Child("clientIP", "timeoutSeconds"), c.ClientIP.TimeoutSeconds,
				fmt.Sprintf("must be greater than 0 and less than %d", maxAffinitySeconds))
		}
	}
}

func externalIPs(l *check.List, s, old *corev1.Service) {
	var known []string
	if old != nil {
		known = old.Spec.ExternalIPs
	}
	for i, ip := range s.Spec.ExternalIPs {
		var one check.List
		at := spec.Child("externalIPs").Index(i)
		if one.IP(at, ip, known...); len(one.Errors()) == 0 {
			one.EndpointIP(at, ip)
		}
		l.Add(one.Errors()...)
	}
}

func loadBalancer(l *check.List, s, old *corev1.Service) {
	const only = "may only be used when `type` is 'LoadBalancer'"
	is := s.Spec.Type == corev1.ServiceTypeLoadBalancer
	sourceRanges(l, s, old, is, only)
	switch {
	case s.Spec.AllocateLoadBalancerNodePorts != nil && !is:
		l.Forbidden(spec.Child("allocateLoadBalancerNodePorts"), only)
	case s.Spec.AllocateLoadBalancerNodePorts == nil && is:
		l.Required(field.NewPath("allocateLoadBalancerNodePorts"), "")
	}
	if class := s.Spec.LoadBalancerClass; class != nil {
		if is {
			l.Qualified(spec.Child("loadBalancerClass"), *class)
		} else {
			l.Forbidden(spec.Child("loadBalancerClass"), only)
		}
	}
}

func sourceRanges(l *check.List, s, old *corev1.Service, is bool, only string) {
	at := spec.Child("LoadBalancerSourceRanges")
	if len(s.Spec.LoadBalancerSourceRanges) > 0 {
		if !is {
			l.Forbidden(at, only)
		}
		var known []string
		if old != nil {
			for _, r := range old.Spec.LoadBalancerSourceRanges {
				known = append(known, strings.TrimSpace(r))
			}
		}
		for i, r := range s.Spec.LoadBalancerSourceRanges {
			l.CIDR(at.Index(i), strings.TrimSpace(r), known...)
		}
		return
	}
	value, set := s.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey]
	if !set {
		return
	}
	at = field.NewPath("metadata", "annotations").Key(corev1.AnnotationLoadBalancerSourceRangesKey)
	if !is {
		l.Forbidden(at, only)
	}
	if old != nil && old.Annotations[corev1.AnnotationLoadBalancerSourceRangesKey] == value || strings.TrimSpace(value) == "" {
		return
	}
	for r := range strings.SplitSeq(value, ",") {
		l.CIDR(at, strings.TrimSpace(r))
	}
}

func traffic(l *check.List, s *corev1.Service) {
	external := spec.Child("externalTrafficPolicy")
	if fromOutside(s) {
		check.OneOf(l, external, s.Spec.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster, corev1.ServiceExternalTrafficPolicyLocal)
	} else if s.Spec.ExternalTrafficPolicy != "" {
		l.Invalid(external, s.Spec.ExternalTrafficPolicy, "may only be set for externally-accessible services")
	}
	health := spec.Child("healthCheckNodePort")
	switch port := s.Spec.HealthCheckNodePort; {
	case needsHealthCheck(s) && port == 0:
		l.Required(health, "")
	case needsHealthCheck(s):
		l.PortNumber(health, port)
	case port != 0:
		l.Invalid(health, port, "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'")
	}
	internal := spec.Child("internalTrafficPolicy")
	switch s.Spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		if s.Spec.InternalTrafficPolicy == nil {
			l.Required(internal, "")
		}
	}
	check.KnownPtr(l, internal, s.Spec.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster, corev1.ServiceInternalTrafficPolicyLocal)
	check.KnownPtr(l, spec.Child("trafficDistribution"), s.Spec.TrafficDistribution, corev1.ServiceTrafficDistributionPreferClose,
		corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode)
}

func validateUpdate(_ context.Context, s, old *corev1.Service) field.ErrorList {
	var l check.List
	if needsClusterIP(s) && needsClusterIP(old) {
		if !headless(s) || !headless(old) {
			keepAddresses(&l, s, old)
		}
		if !headless(s) && !headless(old) {
			keepFamilies(&l, s, old)
		}
	}
	bothBalanced := s.Spec.Type == corev1.ServiceTypeLoadBalancer && old.Spec.Type == corev1.ServiceTypeLoadBalancer
	if bothBalanced && !same(s.Spec.LoadBalancerClass, old.Spec.LoadBalancerClass) {
		l.Invalid(spec.Child("loadBalancerClass"), s.Spec.LoadBalancerClass, "may not change once set")
	}
	if needsHealthCheck(s) && needsHealthCheck(old) && s.Spec.HealthCheckNodePort != old.Spec.HealthCheckNodePort {
		l.Forbidden(spec.Child("healthCheckNodePort"), apivalidation.FieldImmutableErrorMsg)
	}
	l.Add(validate(s, old)...)
	return l.Errors()
}

func validateStatusUpdate(_ context.Context, s, old *corev1.Service) field.ErrorList {
	var l check.List
	at, ingress := field.NewPath("status", "loadBalancer", "ingress"), s.Status.LoadBalancer.Ingress
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer && len(ingress) > 0 {
		l.Forbidden(at, "may only be used when `spec.type` is 'LoadBalancer'")
		return l.Errors()
	}
	var known []string
	for _, in := range old.Status.LoadBalancer.Ingress {
		known = append(known, in.IP)
	}
	for i, in := range ingress {
		here := at.Index(i)
		if in.IP != "" {
			l.IP(here.Child("ip"), in.IP, known...)
		}
		switch {
		case in.IPMode == nil && in.IP != "":
			l.Required(here.Child("ipMode"), "must be specified when `ip` is set")
		case in.IPMode != nil && in.IP == "":
			l.Forbidden(here.Child("ipMode"), "may not be specified when `ip` is not set")
		default:
			check.KnownPtr(&l, here.Child("ipMode"), in.IPMode, corev1.LoadBalancerIPModeProxy, corev1.LoadBalancerIPModeVIP)
		}
		if in.Hostname != "" {
			l.Each(here.Child("hostname"), in.Hostname, validation.IsDNS1123Subdomain(in.Hostname))
			if _, err := netip.ParseAddr(in.Hostname); err == nil {
				l.Invalid(here.Child("hostname"), in.Hostname, "must be a DNS name, not an IP address")
			}
		}
	}
	return l.Errors()
}
