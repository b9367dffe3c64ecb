package check

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"
)

// PortNumber requires 1–65535.
func (l *List) PortNumber(path *field.Path, port int32) {
	l.Each(path, port, validation.IsValidPortNum(int(port)))
}

// PortNumberOrName requires a port number or a port's name.
func (l *List) PortNumberOrName(path *field.Path, port intstr.IntOrString) {
	if port.Type == intstr.String {
		l.Each(path, port.StrVal, validation.IsValidPortName(port.StrVal))
		return
	}
	l.Each(path, port.IntValue(), validation.IsValidPortNum(port.IntValue()))
}

// IP requires an IPv4 or IPv6 address; known addresses (those of the object before an update) pass as they are.
func (l *List) IP(path *field.Path, value string, known ...string) {
	l.Add(validation.IsValidIPForLegacyField(path, value, true, known)...)
}

// CIDR requires an address range; known ones pass as they are.
func (l *List) CIDR(path *field.Path, value string, known ...string) {
	l.Add(validation.IsValidCIDRForLegacyField(path, value, true, known)...)
}

// OnePerFamily requires at most one address of each family among ips, which are shown as value.
func (l *List) OnePerFamily(path *field.Path, value any, ips []string) {
	if len(ips) < 2 {
		return
	}
	dual, err := netutils.IsDualStackIPStrings(ips)
	if err != nil || !dual || len(ips) > 2 {
		l.Invalid(path, value, "may specify no more than one IP for each IP family")
	}
}

// EndpointIP refuses addresses that no other machine can reach: unspecified, loopback and link-local ones. What
// is no address at all passes: IP says so.
func (l *List) EndpointIP(path *field.Path, value string) {
	ip, err := netip.ParseAddr(value)
	if err != nil {
		return
	}
	switch ip = ip.Unmap(); {
	case ip.IsUnspecified():
		l.Invalid(path, value, "may not be unspecified ("+value+")")
	case ip.IsLoopback():
		l.Invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
	case ip.IsLinkLocalUnicast():
		l.Invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
	case ip.IsLinkLocalMulticast():
		l.Invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
	}
}
