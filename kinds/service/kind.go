// Package service is all that the server knows of Services: defaults, validation, what kubectl prints, and the
// cluster IPs and node ports that it gives them.
package service

import (
	"context"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"dhow/apiserver"
)

// Config is what Services need from elsewhere.
type Config struct {
	// CIDRs are the ranges of cluster IPs: one, or one of each IP family. The first is the primary.
	CIDRs []netip.Prefix
	// Plan knows of further ranges, and of addresses that others have; it may be nil.
	Plan AddressPlan
	// FirstNodePort and LastNodePort bound node ports; 30000 and 32767 when both are zero.
	FirstNodePort, LastNodePort int32
	// Connectors are the subresources that reach the pods behind a Service: proxy. They are mounted as they are.
	Connectors map[string]func(store *genericregistry.Store) rest.Storage
}

// AddressPlan is what the cluster's ServiceCIDRs and IPAddresses say.
type AddressPlan interface {
	// Ranges are those from which Services may have addresses now, in the order in which they are tried; none while
	// nothing is known.
	Ranges() []netip.Prefix
	// Reserved says whether the address belongs to something else than a Service.
	Reserved(netip.Addr) bool
}

// Kind defines Services. It fails when the configuration makes no sense.
func Kind(config Config) (apiserver.Kind, error) {
	if config.FirstNodePort == 0 && config.LastNodePort == 0 {
		config.FirstNodePort, config.LastNodePort = 30000, 32767
	}
	allocator, err := newAllocator(config)
	if err != nil {
		return apiserver.Kind{}, err
	}
	return apiserver.Define[*corev1.Service, *corev1.ServiceList](corev1.SchemeGroupVersion,
		apiserver.Names{Kind: "Service", Resource: "services", ShortNames: []string{"svc"}, Categories: []string{"all"}},
		apiserver.Rules[*corev1.Service]{
			Default:              Default,
			PrepareForCreate:     func(_ context.Context, s *corev1.Service) { s.Status = corev1.ServiceStatus{} },
			PrepareForUpdate:     prepareForUpdate,
			Validate:             func(_ context.Context, s *corev1.Service) field.ErrorList { return validate(s, nil) },
			ValidateUpdate:       validateUpdate,
			ValidateName:         validation.IsDNS1123Label,
			Warnings:             warn,
			HasStatus:            true,
			NoGeneration:         true,
			ValidateStatusUpdate: validateStatusUpdate,
			Fields: func(s *corev1.Service) fields.Set {
				return fields.Set{"spec.clusterIP": s.Spec.ClusterIP, "spec.type": string(s.Spec.Type)}
			},
			Columns:             columns(),
			Cells:               cells,
			AllowCreateOnUpdate: true,
			Subresources:        config.Connectors,
			Hook:                allocator.hook,
		}), nil
}
