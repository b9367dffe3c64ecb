// Package endpoints is all that the server knows of Endpoints, the older form of EndpointSlices: defaults,
// validation and what kubectl prints.
package endpoints

import (
	"context"
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
	"dhow/api/table"
	"dhow/apiserver"
)

// Kind defines Endpoints.
func Kind() apiserver.Kind {
	return apiserver.Define[*corev1.Endpoints, *corev1.EndpointsList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "Endpoints", Resource: "endpoints", ShortNames: []string{"ep"}},
		apiserver.Rules[*corev1.Endpoints]{
			Default:  Default,
			Validate: func(_ context.Context, e *corev1.Endpoints) field.ErrorList { return validate(e) },
			ValidateUpdate: func(_ context.Context, e, old *corev1.Endpoints) field.ErrorList {
				if equality.Semantic.DeepEqual(e.Subsets, old.Subsets) {
					return nil
				}
				return validate(e)
			},
			Warnings: warn,
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("Endpoints", corev1.Endpoints{}.SwaggerDoc()["subsets"]), table.Age(),
			},
			Cells:               func(e *corev1.Endpoints) []any { return []any{summary(e), table.Since(e.CreationTimestamp)} },
			AllowCreateOnUpdate: true,
		})
}

// Default fills the protocol of ports.
func Default(e *corev1.Endpoints) {
	for i := range e.Subsets {
		for j := range e.Subsets[i].Ports {
			if p := &e.Subsets[i].Ports[j]; p.Protocol == "" {
				p.Protocol = corev1.ProtocolTCP
			}
		}
	}
}

func validate(e *corev1.Endpoints) field.ErrorList {
	var l check.List
	for i := range e.Subsets {
		s, at := &e.Subsets[i], field.NewPath("subsets").Index(i)
		if len(s.Addresses)+len(s.NotReadyAddresses) == 0 {
			l.Required(at, "must specify `addresses` or `notReadyAddresses`")
		}
		for j := range s.Addresses {
			address(&l, at.Child("addresses").Index(j), &s.Addresses[j])
		}
		for j := range s.NotReadyAddresses {
			address(&l, at.Child("notReadyAddresses").Index(j), &s.NotReadyAddresses[j])
		}
		for j := range s.Ports {
			port(&l, at.Child("ports").Index(j), &s.Ports[j], len(s.Ports) > 1)
		}
	}
	return l.Errors()
}

func address(l *check.List, at *field.Path, a *corev1.EndpointAddress) {
	l.IP(at.Child("ip"), a.IP)
	l.EndpointIP(at.Child("ip"), a.IP)
	if a.Hostname != "" {
		l.Label(at.Child("hostname"), a.Hostname)
	}
	if a.NodeName != nil {
		l.Subdomain(at.Child("nodeName"), *a.NodeName)
	}
}

func port(l *check.List, at *field.Path, p *corev1.EndpointPort, named bool) {
	if p.Name != "" {
		l.Label(at.Child("name"), p.Name)
	} else if named {
		l.Required(at.Child("name"), "")
	}
	l.PortNumber(at.Child("port"), p.Port)
	check.OneOf(l, at.Child("protocol"), p.Protocol, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
	if p.AppProtocol != nil {
		l.Qualified(at.Child("appProtocol"), *p.AppProtocol)
	}
}

func warn(_ context.Context, e, _ *corev1.Endpoints) []string {
	all := []string{"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"}
	for i := range e.Subsets {
		for j, a := range e.Subsets[i].Addresses {
			at := field.NewPath("subsets").Index(i).Child("addresses").Index(j).Child("ip")
			all = append(all, validation.GetWarningsForIP(at, a.IP)...)
		}
	}
	return all
}

// maxShown is how many endpoints kubectl lists.
const maxShown = 3

func summary(e *corev1.Endpoints) string {
	if len(e.Subsets) == 0 {
		return "<none>"
	}
	var all []string
	for i := range e.Subsets {
		s := &e.Subsets[i]
		for _, a := range s.Addresses {
			if len(s.Ports) == 0 {
				all = append(all, a.IP)
			}
		}
		for _, p := range s.Ports {
			for _, a := range s.Addresses {
				all = append(all, net.JoinHostPort(a.IP, strconv.Itoa(int(p.Port))))
			}
		}
	}
	return table.Some(all, maxShown)
}
