package servicecidr

import (
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"dhow/api/check"
	"dhow/api/objectref"
)

func validateRange(c *networkingv1.ServiceCIDR) field.ErrorList {
	var l check.List
	at, cidrs := field.NewPath("spec", "cidrs"), c.Spec.CIDRs
	switch {
	case len(cidrs) == 0:
		l.Required(at, "at least one CIDR required")
		return l.Errors()
	case len(cidrs) > 2:
		l.Invalid(at, c.Spec, "may only hold up to 2 values")
		return l.Errors()
	}
	for i, cidr := range cidrs {
		l.Add(validation.IsValidCIDR(at.Index(i), cidr)...)
	}
	if len(cidrs) < 2 {
		return l.Errors()
	}
	first, second := netutils.IPFamilyOfCIDRString(cidrs[0]), netutils.IPFamilyOfCIDRString(cidrs[1])
	if first == second && first != netutils.IPFamilyUnknown {
		l.Invalid(at, cidrs, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64")
	}
	return l.Errors()
}

// validateRangeUpdate lets a second IP family come, and nothing else.
func validateRangeUpdate(c, old *networkingv1.ServiceCIDR) field.ErrorList {
	var l check.List
	at, now, was := field.NewPath("spec", "cidrs"), c.Spec.CIDRs, old.Spec.CIDRs
	grows := len(was) == 1 && len(now) == 2
	if len(now) != len(was) && !grows {
		l.Invalid(at, now, apivalidation.FieldImmutableErrorMsg)
		return l.Errors()
	}
	for i := range was {
		if now[i] != was[i] {
			l.Invalid(at.Index(i), now[i], apivalidation.FieldImmutableErrorMsg)
		}
	}
	if grows {
		l.Add(validateRange(c)...)
	}
	return l.Errors()
}

func validateAddressName(name string) []string {
	var problems []string
	for _, err := range validation.IsValidIP(field.NewPath("metadata", "name"), name) {
		problems = append(problems, err.Detail)
	}
	return problems
}

func validateAddress(a *networkingv1.IPAddress) field.ErrorList {
	var l check.List
	at, ref := field.NewPath("spec", "parentRef"), a.Spec.ParentRef
	if ref == nil {
		l.Required(at, "")
		return l.Errors()
	}
	if ref.Group != "" { // that of Services is empty
		l.Subdomain(at.Child("group"), ref.Group)
	}
	objectref.Segment(&l, at.Child("resource"), ref.Resource)
	objectref.Segment(&l, at.Child("name"), ref.Name)
	if ref.Namespace != "" {
		l.Each(at.Child("namespace"), ref.Namespace, content.IsPathSegmentName(ref.Namespace))
	}
	return l.Errors()
}

func validateAddressUpdate(a, old *networkingv1.IPAddress) field.ErrorList {
	var l check.List
	l.Add(validateAddress(a)...)
	l.Immutable(field.NewPath("spec", "parentRef"), a.Spec.ParentRef, old.Spec.ParentRef)
	return l.Errors()
}
