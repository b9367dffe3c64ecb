package ingress

import (
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"dhow/api/check"
	"dhow/api/objectref"
)

// leniency is what an update may leave as it is, because the object has it from days of weaker rules.
type leniency struct {
	secretNames   bool // names of TLS secrets
	wildcardRules bool // the rules of hosts with a wildcard
}

func validate(i *networkingv1.Ingress) field.ErrorList {
	var l check.List
	spec(&l, &i.Spec, leniency{})
	class, annotated := i.Annotations[classAnnotation]
	if annotated && i.Spec.IngressClassName != nil && class != *i.Spec.IngressClassName {
		l.Invalid(field.NewPath("annotations").Child(classAnnotation), class, "must match `ingressClassName` when both are specified")
	}
	return l.Errors()
}

func validateUpdate(i, old *networkingv1.Ingress) field.ErrorList {
	var l check.List
	spec(&l, &i.Spec, leniencyFor(old))
	return l.Errors()
}

func leniencyFor(old *networkingv1.Ingress) leniency {
	var allowed leniency
	for _, t := range old.Spec.TLS {
		if t.SecretName != "" && len(validation.IsDNS1123Subdomain(t.SecretName)) > 0 {
			allowed.secretNames = true
		}
	}
	for _, r := range old.Spec.Rules {
		var l check.List
		paths(&l, nil, r.HTTP)
		if strings.Contains(r.Host, "*") && len(l.Errors()) > 0 {
			allowed.wildcardRules = true
		}
	}
	return allowed
}

func spec(l *check.List, s *networkingv1.IngressSpec, allowed leniency) {
	at := field.NewPath("spec")
	if len(s.Rules) == 0 && s.DefaultBackend == nil {
		l.Invalid(at, s.Rules, "either `defaultBackend` or `rules` must be specified")
	}
	if s.DefaultBackend != nil {
		backend(l, at.Child("defaultBackend"), s.DefaultBackend)
	}
	for i, r := range s.Rules {
		here := at.Child("rules").Index(i)
		if ruleHost(l, here.Child("host"), r.Host); !allowed.wildcardRules || !strings.Contains(r.Host, "*") {
			paths(l, here.Child("http"), r.HTTP)
		}
	}
	for i := range s.TLS {
		tls(l, at.Child("tls").Index(i), &s.TLS[i], allowed)
	}
	if s.IngressClassName != nil {
		l.Subdomain(at.Child("ingressClassName"), *s.IngressClassName)
	}
}

func ruleHost(l *check.List, at *field.Path, name string) {
	if name == "" {
		return
	}
	notAddress(l, at, name)
	host(l, at, name)
}

func notAddress(l *check.List, at *field.Path, name string) {
	if netutils.ParseIPSloppy(name) != nil {
		l.Invalid(at, name, "must be a DNS name, not an IP address")
	}
}

// host may begin with a wildcard.
func host(l *check.List, at *field.Path, name string) {
	if strings.Contains(name, "*") {
		l.Each(at, name, validation.IsWildcardDNS1123Subdomain(name))
		return
	}
	l.Subdomain(at, name)
}

func tls(l *check.List, at *field.Path, t *networkingv1.IngressTLS, allowed leniency) {
	for i, name := range t.Hosts {
		host(l, at.Child("hosts").Index(i), name)
	}
	if t.SecretName != "" && !allowed.secretNames {
		l.Subdomain(at.Child("secretName"), t.SecretName)
	}
}

func paths(l *check.List, at *field.Path, http *networkingv1.HTTPIngressRuleValue) {
	if http == nil {
		return
	}
	if len(http.Paths) == 0 {
		l.Required(at.Child("paths"), "")
	}
	for i := range http.Paths {
		path(l, at.Child("paths").Index(i), &http.Paths[i])
	}
}

// What no path may contain or end with when it is compared part by part.
var (
	notWithin = []string{"//", "/./", "/../", "%2f", "%2F"}
	notLast   = []string{"/..", "/."}
)

func path(l *check.List, at *field.Path, p *networkingv1.HTTPIngressPath) {
	if p.PathType == nil {
		l.Required(at.Child("pathType"), "pathType must be specified")
		return
	}
	here := at.Child("path")
	switch *p.PathType {
	case networkingv1.PathTypeExact, networkingv1.PathTypePrefix:
		if !strings.HasPrefix(p.Path, "/") {
			l.Invalid(here, p.Path, "must be an absolute path")
		}
		for _, part := range notWithin {
			if strings.Contains(p.Path, part) {
				l.Invalid(here, p.Path, "must not contain '"+part+"'")
			}
		}
		for _, end := range notLast {
			if strings.HasSuffix(p.Path, end) {
				l.Invalid(here, p.Path, "cannot end with '"+end+"'")
			}
		}
	case networkingv1.PathTypeImplementationSpecific:
		if p.Path != "" && !strings.HasPrefix(p.Path, "/") {
			l.Invalid(here, p.Path, "must be an absolute path")
		}
	default:
		check.Known(l, at.Child("pathType"), *p.PathType,
			networkingv1.PathTypeExact, networkingv1.PathTypePrefix, networkingv1.PathTypeImplementationSpecific)
	}
	backend(l, at.Child("backend"), &p.Backend)
}

func backend(l *check.List, at *field.Path, b *networkingv1.IngressBackend) {
	switch {
	case b.Resource != nil && b.Service != nil:
		l.Invalid(at, "", "cannot set both resource and service backends")
	case b.Resource != nil:
		objectref.Validate(l, at.Child("resource"), b.Resource.APIGroup, b.Resource.Kind, b.Resource.Name)
	case b.Service != nil:
		serviceBackend(l, at, b.Service)
	default:
		l.Invalid(at, "", "resource or service backend is required")
	}
}

func serviceBackend(l *check.List, at *field.Path, s *networkingv1.IngressServiceBackend) {
	name := at.Child("service", "name")
	if l.NonEmpty(name, s.Name) {
		l.Label(name, s.Name)
	}
	port := at.Child("service", "port")
	switch {
	case s.Port.Name != "" && s.Port.Number != 0:
		l.Invalid(at, "", "cannot set both port name & port number")
	case s.Port.Name != "":
		l.Each(port.Child("name"), s.Port.Name, validation.IsValidPortName(s.Port.Name))
	case s.Port.Number != 0:
		l.PortNumber(port.Child("number"), s.Port.Number)
	default:
		l.Required(at, "port name or number is required")
	}
}

func validateStatus(i, old *networkingv1.Ingress) field.ErrorList {
	var l check.List
	var known []string
	for _, point := range old.Status.LoadBalancer.Ingress {
		if point.IP != "" {
			known = append(known, point.IP)
		}
	}
	for n, point := range i.Status.LoadBalancer.Ingress {
		at := field.NewPath("status", "loadBalancer", "ingress").Index(n)
		if point.IP != "" {
			l.IP(at.Child("ip"), point.IP, known...)
		}
		if point.Hostname != "" {
			l.Subdomain(at.Child("hostname"), point.Hostname)
			notAddress(&l, at.Child("hostname"), point.Hostname)
		}
	}
	return l.Errors()
}
