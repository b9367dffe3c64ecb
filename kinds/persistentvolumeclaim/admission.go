package persistentvolumeclaim

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"

	"dhow/api/protection"
)

// InUseProtection makes claims, volumes and volume attributes classes with the finalizer that keeps them while they
// are in use (StorageObjectInUseProtection).
func InUseProtection() admission.Interface {
	return &inUse{admission.NewHandler(admission.Create), map[schema.GroupResource]string{
		corev1.Resource("persistentvolumeclaims"):     protection.Claim,
		corev1.Resource("persistentvolumes"):          protection.Volume,
		storagev1.Resource("volumeattributesclasses"): protection.AttributesClass,
	}}
}

type inUse struct {
	*admission.Handler
	finalizers map[schema.GroupResource]string
}

var _ admission.MutationInterface = &inUse{}

// Admit adds the finalizer.
func (p *inUse) Admit(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	finalizer, protected := p.finalizers[a.GetResource().GroupResource()]
	if !protected || a.GetSubresource() != "" {
		return nil
	}
	obj, err := meta.Accessor(a.GetObject())
	if err != nil {
		return nil // no object of the API; validation says so
	}
	if have := obj.GetFinalizers(); !slices.Contains(have, finalizer) {
		obj.SetFinalizers(append(have, finalizer))
	}
	return nil
}
