// Package networkpolicy is all that the server knows of NetworkPolicies: defaults, validation, warnings and what
// kubectl prints. It filters no traffic.
package networkpolicy

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/table"
	"dhow/apiserver"
)

// Kind defines NetworkPolicies.
func Kind() apiserver.Kind {
	return apiserver.Define[*networkingv1.NetworkPolicy, *networkingv1.NetworkPolicyList](networkingv1.SchemeGroupVersion,
		apiserver.Names{Kind: "NetworkPolicy", Resource: "networkpolicies", ShortNames: []string{"netpol"}},
		apiserver.Rules[*networkingv1.NetworkPolicy]{
			Default:          Default,
			PrepareForCreate: func(_ context.Context, p *networkingv1.NetworkPolicy) { p.Generation = 1 },
			PrepareForUpdate: func(_ context.Context, p, old *networkingv1.NetworkPolicy) {
				if !equality.Semantic.DeepEqual(p.Spec, old.Spec) {
					p.Generation = old.Generation + 1
				}
			},
			Validate: func(_ context.Context, p *networkingv1.NetworkPolicy) field.ErrorList { return validate(p, nil) },
			ValidateUpdate: func(_ context.Context, p, old *networkingv1.NetworkPolicy) field.ErrorList {
				return validate(p, old)
			},
			Warnings: func(_ context.Context, p, _ *networkingv1.NetworkPolicy) []string { return warnings(p) },
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("Pod-Selector", networkingv1.NetworkPolicySpec{}.SwaggerDoc()["podSelector"]), table.Age(),
			},
			Cells: func(p *networkingv1.NetworkPolicy) []any {
				return []any{metav1.FormatLabelSelector(&p.Spec.PodSelector), table.Since(p.CreationTimestamp)}
			},
		})
}

// Default takes ports for TCP, and a policy that does not say what it is about for one of ingress, and of egress too
// if it has egress rules.
func Default(p *networkingv1.NetworkPolicy) {
	for _, rule := range p.Spec.Ingress {
		defaultPorts(rule.Ports)
	}
	for _, rule := range p.Spec.Egress {
		defaultPorts(rule.Ports)
	}
	if len(p.Spec.PolicyTypes) > 0 {
		return
	}
	p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	if len(p.Spec.Egress) > 0 {
		p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	}
}

func defaultPorts(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		if ports[i].Protocol == nil {
			tcp := corev1.ProtocolTCP
			ports[i].Protocol = &tcp
		}
	}
}
