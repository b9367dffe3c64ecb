package check

import (
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
