// Package servicecidr is all that the server knows of ServiceCIDRs and IPAddresses: validation, what kubectl prints,
// the default ServiceCIDR, and the controllers that keep ranges as long as Services use them and an IPAddress for
// every cluster IP. It gives out no addresses: Services' own kind does.
package servicecidr

import (
	"context"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/table"
	"dhow/apiserver"
)

// Kinds defines both.
func Kinds() []apiserver.Kind { return []apiserver.Kind{addresses(), ranges()} }

func ranges() apiserver.Kind {
	return apiserver.Define[*networkingv1.ServiceCIDR, *networkingv1.ServiceCIDRList](networkingv1.SchemeGroupVersion,
		apiserver.Names{Kind: "ServiceCIDR", Resource: "servicecidrs", Cluster: true},
		apiserver.Rules[*networkingv1.ServiceCIDR]{
			Validate: func(_ context.Context, c *networkingv1.ServiceCIDR) field.ErrorList { return validateRange(c) },
			ValidateUpdate: func(_ context.Context, c, old *networkingv1.ServiceCIDR) field.ErrorList {
				return validateRangeUpdate(c, old)
			},
			HasStatus: true,
			PrepareForStatus: func(_ context.Context, c, old *networkingv1.ServiceCIDR) {
				metav1.ResetObjectMetaForStatus(&c.ObjectMeta, &old.ObjectMeta)
			},
			NoGeneration: true,
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("CIDRs", networkingv1.ServiceCIDRSpec{}.SwaggerDoc()["cidrs"]), table.Age(),
			},
			Cells: func(c *networkingv1.ServiceCIDR) []any {
				return []any{strings.Join(c.Spec.CIDRs, ","), table.Since(c.CreationTimestamp)}
			},
		})
}

// addresses are named by the address that they take, in its canonical form.
func addresses() apiserver.Kind {
	return apiserver.Define[*networkingv1.IPAddress, *networkingv1.IPAddressList](networkingv1.SchemeGroupVersion,
		apiserver.Names{Kind: "IPAddress", Resource: "ipaddresses", ShortNames: []string{"ip"}, Cluster: true},
		apiserver.Rules[*networkingv1.IPAddress]{
			ValidateName: validateAddressName,
			Validate:     func(_ context.Context, a *networkingv1.IPAddress) field.ErrorList { return validateAddress(a) },
			ValidateUpdate: func(_ context.Context, a, old *networkingv1.IPAddress) field.ErrorList {
				return validateAddressUpdate(a, old)
			},
			Columns: []metav1.TableColumnDefinition{
				table.Name(), table.Column("ParentRef", networkingv1.IPAddressSpec{}.SwaggerDoc()["parentRef"]),
			},
			Cells: func(a *networkingv1.IPAddress) []any { return []any{parent(a.Spec.ParentRef)} },
		})
}

func parent(ref *networkingv1.ParentReference) string {
	if ref == nil {
		return "<none>"
	}
	text := strings.ToLower(schema.GroupResource{Group: ref.Group, Resource: ref.Resource}.String())
	if ref.Namespace != "" {
		text += "/" + ref.Namespace
	}
	return text + "/" + ref.Name
}
