// Package endpointslice is all that the server knows of EndpointSlices: defaults, validation and what kubectl
// prints; and the controller that lists the pods behind each Service.
package endpointslice

import (
	"context"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/table"
	"dhow/apiserver"
)

// Kind defines EndpointSlices.
func Kind() apiserver.Kind {
	return apiserver.Define[*discoveryv1.EndpointSlice, *discoveryv1.EndpointSliceList](discoveryv1.SchemeGroupVersion,
		apiserver.Names{Kind: "EndpointSlice", Resource: "endpointslices"},
		apiserver.Rules[*discoveryv1.EndpointSlice]{
			Default:          Default,
			PrepareForCreate: func(_ context.Context, s *discoveryv1.EndpointSlice) { s.Generation = 1; dropTopology(s) },
			PrepareForUpdate: prepareForUpdate,
			Validate:         func(_ context.Context, s *discoveryv1.EndpointSlice) field.ErrorList { return validate(s, nil) },
			ValidateUpdate:   validateUpdate,
			Warnings:         warn,
			Columns:          columns(),
			Cells:            cells,
		})
}

// Default fills names and protocols of ports.
func Default(s *discoveryv1.EndpointSlice) {
	for i := range s.Ports {
		if s.Ports[i].Name == nil {
			s.Ports[i].Name = new(string)
		}
		if s.Ports[i].Protocol == nil {
			tcp := corev1.ProtocolTCP
			s.Ports[i].Protocol = &tcp
		}
	}
}

// dropTopology: deprecatedTopology was of v1beta1 and cannot be written in v1.
func dropTopology(s *discoveryv1.EndpointSlice) {
	for i := range s.Endpoints {
		s.Endpoints[i].DeprecatedTopology = nil
	}
}

// prepareForUpdate counts changes of anything but metadata, and of labels.
func prepareForUpdate(_ context.Context, s, old *discoveryv1.EndpointSlice) {
	if !equality.Semantic.DeepEqual(s.Endpoints, old.Endpoints) {
		dropTopology(s)
	}
	s.Generation = old.Generation
	now, before := *s, *old
	now.ObjectMeta, before.ObjectMeta = metav1.ObjectMeta{Labels: s.Labels}, metav1.ObjectMeta{Labels: old.Labels}
	if !equality.Semantic.DeepEqual(now, before) {
		s.Generation++
	}
}

// managers are those who know what they write.
var managers = map[string]bool{"endpointslice-controller.k8s.io": true, "endpointslicemirroring-controller.k8s.io": true}

func warn(_ context.Context, s, old *discoveryv1.EndpointSlice) []string {
	var all []string
	if old == nil && s.AddressType == discoveryv1.AddressTypeFQDN {
		all = append(all, "spec.addressType: FQDN endpoints are deprecated")
	}
	if managers[s.Labels[discoveryv1.LabelManagedBy]] || s.AddressType == discoveryv1.AddressTypeFQDN {
		return all
	}
	for i := range s.Endpoints {
		for j, ip := range s.Endpoints[i].Addresses {
			at := field.NewPath("endpoints").Index(i).Child("addresses").Index(j)
			all = append(all, validation.GetWarningsForIP(at, ip)...)
		}
	}
	return all
}

func columns() []metav1.TableColumnDefinition {
	doc := discoveryv1.EndpointSlice{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		table.Name(), table.Column("AddressType", doc["addressType"]), table.Column("Ports", doc["ports"]),
		table.Column("Endpoints", doc["endpoints"]), table.Age(),
	}
}

// maxShown is how many ports and addresses kubectl lists.
const maxShown = 3

func cells(s *discoveryv1.EndpointSlice) []any {
	var ports, addresses []string
	for _, p := range s.Ports {
		switch {
		case p.Port != nil:
			ports = append(ports, strconv.Itoa(int(*p.Port)))
		case p.Name != nil:
			ports = append(ports, *p.Name)
		default:
			ports = append(ports, "*")
		}
	}
	for _, e := range s.Endpoints {
		addresses = append(addresses, e.Addresses...)
	}
	return []any{string(s.AddressType), some(ports), some(addresses), table.Since(s.CreationTimestamp)}
}

func some(list []string) string { return table.Or(table.Some(list, maxShown), "<unset>") }
