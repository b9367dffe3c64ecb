// Package ingress is all that the server knows of Ingresses: validation, warnings and what kubectl prints. Routing is
// the business of whoever implements their class.
package ingress

import (
	"context"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/table"
	"dhow/apiserver"
)

// Kind defines Ingresses.
func Kind() apiserver.Kind {
	return apiserver.Define[*networkingv1.Ingress, *networkingv1.IngressList](networkingv1.SchemeGroupVersion,
		apiserver.Names{Kind: "Ingress", Resource: "ingresses", ShortNames: []string{"ing"}},
		apiserver.Rules[*networkingv1.Ingress]{
			Validate: func(_ context.Context, i *networkingv1.Ingress) field.ErrorList { return validate(i) },
			ValidateUpdate: func(_ context.Context, i, old *networkingv1.Ingress) field.ErrorList {
				return validateUpdate(i, old)
			},
			Warnings:  warn,
			HasStatus: true,
			ValidateStatusUpdate: func(_ context.Context, i, old *networkingv1.Ingress) field.ErrorList {
				return validateStatus(i, old)
			},
			Columns: columns(),
			Cells:   cells,
		})
}

// classAnnotation is how Ingresses named their class before there were classes.
const classAnnotation = "kubernetes.io/ingress.class"

func warn(_ context.Context, i, old *networkingv1.Ingress) []string {
	if _, annotated := i.Annotations[classAnnotation]; old == nil && annotated && i.Spec.IngressClassName == nil {
		return []string{fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead", classAnnotation)}
	}
	return nil
}

func columns() []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		table.Name(),
		table.Column("Class", "The name of the IngressClass resource that should be used for additional configuration"),
		table.Column("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
		table.Column("Address", "Address is a list containing ingress points for the load-balancer"),
		table.Column("Ports", "Ports of TLS configurations that open"),
		table.Age(),
	}
}

func cells(i *networkingv1.Ingress) []any {
	class, ports := "<none>", "80"
	if i.Spec.IngressClassName != nil {
		class = *i.Spec.IngressClassName
	}
	if len(i.Spec.TLS) > 0 {
		ports = "80, 443"
	}
	return []any{class, hosts(i.Spec.Rules), addresses(&i.Status.LoadBalancer), ports, table.Since(i.CreationTimestamp)}
}

// maxHosts is how many hosts kubectl lists.
const maxHosts = 3

// hosts counts in "more" the rules beyond the third, as kubectl always has, whatever their hosts.
func hosts(rules []networkingv1.IngressRule) string {
	var shown []string
	more := false
	for _, r := range rules {
		if len(shown) == maxHosts {
			more = true
			break
		}
		if r.Host != "" {
			shown = append(shown, r.Host)
		}
	}
	text := table.Or(strings.Join(shown, ","), "*")
	if more {
		text += fmt.Sprintf(" + %d more...", len(rules)-maxHosts)
	}
	return text
}

func addresses(status *networkingv1.IngressLoadBalancerStatus) string {
	var all []string
	for _, point := range status.Ingress {
		if a := table.Or(point.IP, point.Hostname); a != "" {
			all = append(all, a)
		}
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ",")
}
