package service

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// chooseFamilies fills ipFamilyPolicy and ipFamilies from what the user says, what the Service had and what the
// cluster has. Headless Services without a selector may have families that the cluster has not.
func (a *allocator) chooseFamilies(s, old *corev1.Service) error {
	if !needsClusterIP(s) || unchangedPreference(s, old) {
		return nil
	}
	free := headless(s) && len(s.Spec.Selector) == 0
	defaultPolicy(s, old, free)
	if errs := validateClusterIPs(s, old); len(errs) > 0 {
		return invalid(s, errs...)
	}
	var l check.List
	if old != nil {
		a.shrink(&l, s, old)
	}
	a.matchPolicy(&l, s)
	a.familiesOfAddresses(&l, s)
	if len(l.Errors()) > 0 {
		return invalid(s, l.Errors()...)
	}
	if !free {
		a.configured(&l, s)
		if len(l.Errors()) > 0 {
			return invalid(s, l.Errors()...)
		}
	}
	if len(s.Spec.IPFamilies) == 0 {
		s.Spec.IPFamilies = []corev1.IPFamily{a.primary}
	}
	if len(s.Spec.IPFamilies) == 1 && policyOf(s) != corev1.IPFamilyPolicySingleStack && (free || len(a.own) == 2) {
		s.Spec.IPFamilies = append(s.Spec.IPFamilies, other(s.Spec.IPFamilies[0]))
	}
	return nil
}

// unchangedPreference: a Service that prefers two stacks and has what it had is left alone, also when the cluster
// has got a second stack since.
func unchangedPreference(s, old *corev1.Service) bool {
	return old != nil && s.Spec.IPFamilyPolicy != nil && old.Spec.Type == s.Spec.Type &&
		policyOf(s) == corev1.IPFamilyPolicyPreferDualStack &&
		(old.Spec.IPFamilyPolicy == nil || policyOf(old) == corev1.IPFamilyPolicyPreferDualStack) &&
		slices.Equal(s.Spec.ClusterIPs, old.Spec.ClusterIPs) && slices.Equal(s.Spec.IPFamilies, old.Spec.IPFamilies)
}

func defaultPolicy(s, old *corev1.Service, free bool) {
	if s.Spec.IPFamilyPolicy != nil {
		return
	}
	policy := corev1.IPFamilyPolicySingleStack
	switch {
	case old != nil && old.Spec.IPFamilyPolicy != nil:
		policy = *old.Spec.IPFamilyPolicy
	case free:
		policy = corev1.IPFamilyPolicyRequireDualStack
	}
	s.Spec.IPFamilyPolicy = &policy
}

// shrink drops the second family when the policy asks for one, and refuses to without it.
func (a *allocator) shrink(l *check.List, s, old *corev1.Service) {
	if policyOf(s) == corev1.IPFamilyPolicySingleStack {
		if len(s.Spec.ClusterIPs) > 1 && slices.Equal(s.Spec.ClusterIPs, old.Spec.ClusterIPs) {
			s.Spec.ClusterIPs = s.Spec.ClusterIPs[:1]
		}
		if len(s.Spec.IPFamilies) > 1 && slices.Equal(s.Spec.IPFamilies, old.Spec.IPFamilies) {
			s.Spec.IPFamilies = s.Spec.IPFamilies[:1]
		}
		return
	}
	at := field.NewPath("spec", "ipFamilyPolicy")
	if n := len(s.Spec.ClusterIPs); n > 0 && n < len(old.Spec.ClusterIPs) {
		l.Invalid(at, s.Spec.IPFamilyPolicy, "must be 'SingleStack' to release the secondary cluster IP")
	}
	if n := len(s.Spec.IPFamilies); n > 0 && n < len(old.Spec.IPFamilies) {
		l.Invalid(at, s.Spec.IPFamilyPolicy, "must be 'SingleStack' to release the secondary IP family")
	}
}

func (a *allocator) matchPolicy(l *check.List, s *corev1.Service) {
	if policyOf(s) != corev1.IPFamilyPolicySingleStack {
		return
	}
	at := field.NewPath("spec", "ipFamilyPolicy")
	if len(s.Spec.ClusterIPs) == 2 {
		l.Invalid(at, s.Spec.IPFamilyPolicy, "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified")
	}
	if len(s.Spec.IPFamilies) == 2 {
		l.Invalid(at, s.Spec.IPFamilyPolicy, "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified")
	}
}

// familiesOfAddresses fills families from the addresses that the user chose.
func (a *allocator) familiesOfAddresses(l *check.List, s *corev1.Service) {
	for i, ip := range s.Spec.ClusterIPs {
		if ip == corev1.ClusterIPNone {
			return
		}
		if i < len(s.Spec.IPFamilies) {
			continue
		}
		family := familyOf(ip)
		if !a.has(family) {
			l.Invalid(field.NewPath("spec", "clusterIPs").Index(i), s.Spec.ClusterIPs, fmt.Sprintf("%s is not configured on this cluster", family))
			continue
		}
		s.Spec.IPFamilies = append(s.Spec.IPFamilies, family)
	}
}

func (a *allocator) configured(l *check.List, s *corev1.Service) {
	if policyOf(s) == corev1.IPFamilyPolicyRequireDualStack && len(a.own) < 2 {
		l.Invalid(field.NewPath("spec", "ipFamilyPolicy"), s.Spec.IPFamilyPolicy, "this cluster is not configured for dual-stack services")
	}
	for i, family := range s.Spec.IPFamilies {
		if !a.has(family) {
			l.Invalid(field.NewPath("spec", "ipFamilies").Index(i), family, "not configured on this cluster")
		}
	}
}

func policyOf(s *corev1.Service) corev1.IPFamilyPolicy {
	if s.Spec.IPFamilyPolicy == nil {
		return ""
	}
	return *s.Spec.IPFamilyPolicy
}

func other(family corev1.IPFamily) corev1.IPFamily {
	if family == corev1.IPv4Protocol {
		return corev1.IPv6Protocol
	}
	return corev1.IPv4Protocol
}

func familyOf(text string) corev1.IPFamily {
	ip, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return "unknown"
	case ip.Unmap().Is4():
		return corev1.IPv4Protocol
	default:
		return corev1.IPv6Protocol
	}
}
