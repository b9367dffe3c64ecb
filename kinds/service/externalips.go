package service

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"

	"dhow/api/admit"
)

// DenyExternalIPs lets no Service take further external addresses: the plug-in DenyServiceExternalIPs.
func DenyExternalIPs() admission.Interface {
	return denyExternalIPs{admission.NewHandler(admission.Create, admission.Update)}
}

type denyExternalIPs struct{ *admission.Handler }

var _ admission.ValidationInterface = denyExternalIPs{}

// Validate implements admission.ValidationInterface.
func (denyExternalIPs) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	s, ok := admit.Object[*corev1.Service](a, corev1.Resource("services"))
	if !ok {
		return nil
	}
	var had []string
	if old, ok := a.GetOldObject().(*corev1.Service); ok {
		had = old.Spec.ExternalIPs
	}
	for _, ip := range s.Spec.ExternalIPs {
		if !slices.Contains(had, ip) {
			return admission.NewForbidden(a, errors.New("Use of external IPs is denied by admission control"))
		}
	}
	return nil
}
