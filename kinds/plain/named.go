package plain

import (
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/apiserver"
)

// ipAddresses are named by the address that they take, in its canonical form.
func ipAddresses() apiserver.Kind {
	return apiserver.Define[*networkingv1.IPAddress, *networkingv1.IPAddressList](networkingv1.SchemeGroupVersion,
		apiserver.Names{Kind: "IPAddress", Resource: "ipaddresses", ShortNames: []string{"ip"}, Cluster: true},
		apiserver.Rules[*networkingv1.IPAddress]{
			ValidateName: func(name string) []string {
				var problems []string
				for _, err := range validation.IsValidIP(field.NewPath("metadata", "name"), name) {
					problems = append(problems, err.Detail)
				}
				return problems
			},
		})
}
