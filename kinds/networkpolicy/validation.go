package networkpolicy

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	unversioned "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"dhow/api/check"
)

// checker has what an update may leave as it is, because the policy has it from days of weaker rules.
type checker struct {
	check.List
	selectors unversioned.LabelSelectorValidationOptions
	cidrs     []string
}

// validate checks a policy; old is nil on create.
func validate(p, old *networkingv1.NetworkPolicy) field.ErrorList {
	c := &checker{}
	if old != nil {
		wrong := unversioned.ValidateLabelSelector(&old.Spec.PodSelector, c.selectors, nil)
		c.selectors.AllowInvalidLabelValueInSelector = len(wrong) > 0
		blocks(old, func(_ *field.Path, b *networkingv1.IPBlock) {
			c.cidrs = append(append(c.cidrs, b.CIDR), b.Except...)
		})
	}
	at := field.NewPath("spec")
	c.selector(at.Child("podSelector"), &p.Spec.PodSelector)
	for i, rule := range p.Spec.Ingress {
		here := at.Child("ingress").Index(i)
		c.ports(here.Child("ports"), rule.Ports)
		c.peers(here.Child("from"), rule.From)
	}
	for i, rule := range p.Spec.Egress {
		here := at.Child("egress").Index(i)
		c.ports(here.Child("ports"), rule.Ports)
		c.peers(here.Child("to"), rule.To)
	}
	c.types(at.Child("policyTypes"), p.Spec.PolicyTypes)
	return c.Errors()
}

func (c *checker) types(at *field.Path, types []networkingv1.PolicyType) {
	if len(types) > 2 {
		c.Invalid(at, types, "may not specify more than two policyTypes")
		return
	}
	for i, t := range types {
		if t != networkingv1.PolicyTypeIngress && t != networkingv1.PolicyTypeEgress {
			c.Add(field.NotSupported(at.Index(i), t, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}))
		}
	}
}

func (c *checker) selector(at *field.Path, s *metav1.LabelSelector) {
	c.Add(unversioned.ValidateLabelSelector(s, c.selectors, at)...)
}

func (c *checker) ports(at *field.Path, ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		here, p := at.Index(i), &ports[i]
		if known := p.Protocol; known != nil && *known != corev1.ProtocolTCP && *known != corev1.ProtocolUDP && *known != corev1.ProtocolSCTP {
			c.Add(field.NotSupported(here.Child("protocol"), *known, []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}))
		}
		c.portRange(here.Child("port"), here.Child("endPort"), p)
	}
}

func (c *checker) portRange(port, end *field.Path, p *networkingv1.NetworkPolicyPort) {
	switch {
	case p.Port == nil:
		if p.EndPort != nil {
			c.Invalid(end, *p.EndPort, "may not be specified when `port` is not specified")
		}
	case p.Port.Type == intstr.String:
		if p.EndPort != nil {
			c.Invalid(end, *p.EndPort, "may not be specified when `port` is non-numeric")
		}
		c.Each(port, p.Port.StrVal, validation.IsValidPortName(p.Port.StrVal))
	default:
		c.PortNumber(port, p.Port.IntVal)
		if p.EndPort == nil {
			return
		}
		if *p.EndPort < p.Port.IntVal {
			c.Invalid(end, p.Port.IntVal, "must be greater than or equal to `port`")
		}
		c.PortNumber(end, *p.EndPort)
	}
}

func (c *checker) peers(at *field.Path, peers []networkingv1.NetworkPolicyPeer) {
	for i := range peers {
		here, p := at.Index(i), &peers[i]
		if p.PodSelector != nil {
			c.selector(here.Child("podSelector"), p.PodSelector)
		}
		if p.NamespaceSelector != nil {
			c.selector(here.Child("namespaceSelector"), p.NamespaceSelector)
		}
		if p.IPBlock != nil {
			c.block(here.Child("ipBlock"), p.IPBlock)
		}
		switch selects := p.PodSelector != nil || p.NamespaceSelector != nil; {
		case !selects && p.IPBlock == nil:
			c.Required(here, "must specify a peer")
		case selects && p.IPBlock != nil:
			c.Forbidden(here, "may not specify both ipBlock and another peer")
		}
	}
}

func (c *checker) block(at *field.Path, b *networkingv1.IPBlock) {
	if !c.NonEmpty(at.Child("cidr"), b.CIDR) {
		return
	}
	c.CIDR(at.Child("cidr"), b.CIDR, c.cidrs...)
	_, whole, err := netutils.ParseCIDRSloppy(b.CIDR)
	if err != nil {
		return // said already
	}
	for i, text := range b.Except {
		here := at.Child("except").Index(i)
		c.CIDR(here, text, c.cidrs...)
		_, part, err := netutils.ParseCIDRSloppy(text)
		if err != nil {
			continue
		}
		wholeLength, _ := whole.Mask.Size()
		partLength, _ := part.Mask.Size()
		if !whole.Contains(part.IP) || wholeLength >= partLength {
			c.Invalid(here, text, "must be a strict subset of `cidr`")
		}
	}
}

// blocks calls f with every ipBlock of a policy.
func blocks(p *networkingv1.NetworkPolicy, f func(at *field.Path, b *networkingv1.IPBlock)) {
	each := func(at *field.Path, peers []networkingv1.NetworkPolicyPeer) {
		for i, peer := range peers {
			if peer.IPBlock != nil {
				f(at.Index(i).Child("ipBlock"), peer.IPBlock)
			}
		}
	}
	for i, rule := range p.Spec.Ingress {
		each(field.NewPath("spec", "ingress").Index(i).Child("from"), rule.From)
	}
	for i, rule := range p.Spec.Egress {
		each(field.NewPath("spec", "egress").Index(i).Child("to"), rule.To)
	}
}

// warnings tell of ranges that are written in more than one way.
func warnings(p *networkingv1.NetworkPolicy) []string {
	var all []string
	blocks(p, func(at *field.Path, b *networkingv1.IPBlock) {
		all = append(all, validation.GetWarningsForCIDR(at.Child("cidr"), b.CIDR)...)
		for i, text := range b.Except {
			all = append(all, validation.GetWarningsForCIDR(at.Child("except").Index(i), text)...)
		}
	})
	return all
}
