package endpointslice

import (
	"context"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// How much one slice may hold.
const (
	maxEndpoints = 1000
	maxAddresses = 100
	maxPorts     = 20000
	maxHints     = 8
)

// validate checks a slice; endpoints that old has as they are pass.
func validate(s, old *discoveryv1.EndpointSlice) field.ErrorList {
	var l check.List
	check.OneOf(&l, field.NewPath("addressType"), s.AddressType,
		discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN)
	ports(&l, field.NewPath("ports"), s.Ports)
	if old != nil && equality.Semantic.DeepEqual(s.Endpoints, old.Endpoints) {
		return l.Errors()
	}
	at := field.NewPath("endpoints")
	if len(s.Endpoints) > maxEndpoints {
		l.Add(field.TooMany(at, len(s.Endpoints), maxEndpoints))
		return l.Errors()
	}
	for i := range s.Endpoints {
		endpoint(&l, at.Index(i), &s.Endpoints[i], s.AddressType)
	}
	return l.Errors()
}

func ports(l *check.List, at *field.Path, list []discoveryv1.EndpointPort) {
	if len(list) > maxPorts {
		l.Add(field.TooMany(at, len(list), maxPorts))
		return
	}
	names := sets.Set[string]{}
	for i, p := range list {
		here, name := at.Index(i), ""
		if p.Name != nil {
			name = *p.Name
		}
		if name != "" {
			l.Label(here.Child("name"), name)
		}
		if names.Has(name) {
			l.Duplicate(here.Child("name"), name)
		}
		names.Insert(name)
		if p.Protocol == nil {
			l.Required(here.Child("protocol"), "")
		}
		check.KnownPtr(l, here.Child("protocol"), p.Protocol, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
		if p.AppProtocol != nil {
			l.Qualified(here.Child("appProtocol"), *p.AppProtocol)
		}
	}
}

func endpoint(l *check.List, at *field.Path, e *discoveryv1.Endpoint, kind discoveryv1.AddressType) {
	addresses := at.Child("addresses")
	switch n := len(e.Addresses); {
	case n == 0:
		l.Required(addresses, "must contain at least 1 address")
	case n > maxAddresses:
		l.Add(field.TooMany(addresses, n, maxAddresses))
	}
	for i, a := range e.Addresses {
		address(l, addresses, i, a, kind)
	}
	if e.NodeName != nil {
		l.Subdomain(at.Child("nodeName"), *e.NodeName)
	}
	if e.Hostname != nil {
		l.Label(at.Child("hostname"), *e.Hostname)
	}
	if e.Hints != nil {
		hints(l, at.Child("hints"), e.Hints)
	}
}

func address(l *check.List, at *field.Path, i int, text string, kind discoveryv1.AddressType) {
	here := at.Index(i)
	if kind == discoveryv1.AddressTypeFQDN {
		l.Add(validation.IsFullyQualifiedDomainName(here, text)...)
		return
	}
	var wrong check.List
	if wrong.IP(here, text); len(wrong.Errors()) > 0 {
		l.Add(wrong.Errors()...)
		return
	}
	ip, err := netip.ParseAddr(text)
	switch {
	case err != nil:
	case kind == discoveryv1.AddressTypeIPv4 && !ip.Is4():
		l.Invalid(at, text, "must be an IPv4 address")
	case kind == discoveryv1.AddressTypeIPv6 && !ip.Is6():
		l.Invalid(at, text, "must be an IPv6 address")
	}
	l.EndpointIP(here, text)
}

func hints(l *check.List, at *field.Path, h *discoveryv1.EndpointHints) {
	var zones, nodes []string
	for _, z := range h.ForZones {
		zones = append(zones, z.Name)
	}
	for _, n := range h.ForNodes {
		nodes = append(nodes, n.Name)
	}
	hinted(l, at.Child("forZones"), zones, validation.IsValidLabelValue)
	hinted(l, at.Child("forNodes"), nodes, validation.IsDNS1123Subdomain)
}

func hinted(l *check.List, at *field.Path, names []string, valid func(string) []string) {
	if len(names) > maxHints {
		l.Add(field.TooMany(at, len(names), maxHints))
		return
	}
	seen := sets.Set[string]{}
	for i, name := range names {
		here := at.Index(i).Child("name")
		if seen.Has(name) {
			l.Duplicate(here, name)
		}
		seen.Insert(name)
		l.Each(here, name, valid(name))
	}
}

func validateUpdate(_ context.Context, s, old *discoveryv1.EndpointSlice) field.ErrorList {
	var l check.List
	l.Add(validate(s, old)...)
	l.Immutable(field.NewPath("addressType"), s.AddressType, old.AddressType)
	return l.Errors()
}
