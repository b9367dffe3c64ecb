package service

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// validateClusterIPs checks clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy together.
func validateClusterIPs(s, old *corev1.Service) field.ErrorList {
	if !needsClusterIP(s) {
		return nil
	}
	var l check.List
	all, ips := spec.Child("clusterIPs"), s.Spec.ClusterIPs
	switch {
	case s.Spec.ClusterIP != "" && len(ips) == 0:
		l.Required(all, "")
	case s.Spec.ClusterIP != "" && ips[0] != s.Spec.ClusterIP:
		l.Invalid(all, ips, "first value must match `clusterIP`")
	case s.Spec.ClusterIP == "" && len(ips) > 0:
		l.Invalid(all, ips, "must be empty when `clusterIP` is not specified")
	}
	validFamilies(&l, s)
	if !validAddresses(&l, s, old) {
		return l.Errors()
	}
	l.OnePerFamily(all, ips, ips)
	if headless(s) {
		return l.Errors()
	}
	for i := range min(len(ips), len(s.Spec.IPFamilies)) {
		want := s.Spec.IPFamilies[i]
		if known := want == corev1.IPv4Protocol || want == corev1.IPv6Protocol; known && familyOf(ips[i]) != want {
			l.Invalid(all.Index(i), ips[i], fmt.Sprintf("expected an %s value as indicated by `ipFamilies[%v]`", want, i))
		}
	}
	return l.Errors()
}

func validFamilies(l *check.List, s *corev1.Service) {
	at, seen := spec.Child("ipFamilies"), sets.Set[corev1.IPFamily]{}
	for i, family := range s.Spec.IPFamilies {
		check.Known(l, at.Index(i), family, corev1.IPv4Protocol, corev1.IPv6Protocol)
		if seen.Has(family) {
			l.Duplicate(at.Index(i), family)
		}
		seen.Insert(family)
	}
	check.KnownPtr(l, spec.Child("ipFamilyPolicy"), s.Spec.IPFamilyPolicy, corev1.IPFamilyPolicySingleStack,
		corev1.IPFamilyPolicyPreferDualStack, corev1.IPFamilyPolicyRequireDualStack)
}

// validAddresses returns false when addresses are such that comparing them makes no sense.
func validAddresses(l *check.List, s, old *corev1.Service) bool {
	at, ips := spec.Child("clusterIPs"), s.Spec.ClusterIPs
	var known []string
	if old != nil {
		known = old.Spec.ClusterIPs
	}
	var bad check.List
	for i, ip := range ips {
		if i == 0 && ip == corev1.ClusterIPNone {
			if len(ips) > 1 {
				bad.Invalid(at, ips, "'None' must be the first and only value")
			}
			continue
		}
		bad.IP(at.Index(i), ip, known...)
	}
	l.Add(bad.Errors()...)
	if len(ips) > 2 {
		l.Invalid(at, ips, "may only hold up to 2 values")
	}
	return len(bad.Errors()) == 0
}

const setOnce = "may not change once set"

// keepAddresses: the first address stays; the second may come, and go with the second family.
func keepAddresses(l *check.List, s, old *corev1.Service) {
	at, now, was := spec.Child("clusterIPs"), s.Spec.ClusterIPs, old.Spec.ClusterIPs
	switch {
	case len(now) == len(was):
		for i := range was {
			if now[i] != was[i] {
				l.Invalid(at.Index(i), now, setOnce)
			}
		}
		return
	case len(now) == 0:
		l.Invalid(at.Index(0), now, "primary clusterIP can not be unset")
		return
	case len(was) > 0 && now[0] != was[0]:
		l.Invalid(at.Index(0), now, setOnce)
	}
	if len(now) < len(was) {
		mustBeSingle(l, s, "clusterIP")
	}
}

func keepFamilies(l *check.List, s, old *corev1.Service) {
	at, now, was := spec.Child("ipFamilies"), s.Spec.IPFamilies, old.Spec.IPFamilies
	switch {
	case len(now) == len(was):
		for i := range was {
			if now[i] != was[i] {
				l.Invalid(at.Index(0), now, setOnce)
			}
		}
		return
	case len(now) == 0:
		l.Invalid(at.Index(0), now, "primary ipFamily can not be unset")
		return
	case len(was) > 0 && now[0] != was[0]:
		l.Invalid(at.Index(0), now, setOnce)
	}
	if len(now) < len(was) {
		mustBeSingle(l, s, "ipFamily")
	}
}

func mustBeSingle(l *check.List, s *corev1.Service, what string) {
	if policyOf(s) != corev1.IPFamilyPolicySingleStack {
		l.Invalid(spec.Child("ipFamilyPolicy"), s.Spec.IPFamilyPolicy, "must be set to 'SingleStack' when releasing the secondary "+what)
	}
}
