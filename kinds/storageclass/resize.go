package storageclass

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	volumehelper "k8s.io/component-helpers/storage/volume"

	"dhow/api/admit"
)

// Resize lets claims grow only when they are bound and their class allows it.
func Resize(f informers.SharedInformerFactory) admission.Interface {
	classes := f.Storage().V1().StorageClasses()
	classes.Informer()
	return &resize{admission.NewHandler(admission.Update), classes.Lister()}
}

type resize struct {
	*admission.Handler
	lister storagelisters.StorageClassLister
}

var _ admission.ValidationInterface = &resize{}

// Validate refuses growth.
func (r *resize) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	claim, ok := admit.Object[*corev1.PersistentVolumeClaim](a, corev1.Resource("persistentvolumeclaims"))
	old, was := a.GetOldObject().(*corev1.PersistentVolumeClaim)
	if !ok || !was {
		return nil
	}
	before, now := old.Spec.Resources.Requests[corev1.ResourceStorage], claim.Spec.Resources.Requests[corev1.ResourceStorage]
	switch {
	case now.Cmp(before) <= 0:
		return nil
	case old.Status.Phase != corev1.ClaimBound:
		return admission.NewForbidden(a, errors.New("Only bound persistent volume claims can be expanded"))
	case !r.allows(claim, old):
		return admission.NewForbidden(a, errors.New("only dynamically provisioned pvc can be resized and "+
			"the storageclass that provisions the pvc must support resize"))
	}
	return nil
}

func (r *resize) allows(claim, old *corev1.PersistentVolumeClaim) bool {
	name := volumehelper.GetPersistentVolumeClaimClass(claim)
	if name == "" || name != volumehelper.GetPersistentVolumeClaimClass(old) {
		return false
	}
	class, err := r.lister.Get(name)
	return err == nil && class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion
}
