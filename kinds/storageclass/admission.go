package storageclass

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	storagelisters "k8s.io/client-go/listers/storage/v1"

	"dhow/api/admit"
)

// Admission gives new claims the default class, the newest if there are several.
func Admission(f informers.SharedInformerFactory) admission.Interface {
	classes := f.Storage().V1().StorageClasses()
	return &plugin{
		Handler: admission.NewHandler(admission.Create),
		lister:  classes.Lister(), synced: classes.Informer().HasSynced,
	}
}

type plugin struct {
	*admission.Handler
	lister storagelisters.StorageClassLister
	synced func() bool
}

var _ admission.MutationInterface = &plugin{}

// Admit sets spec.storageClassName. An empty one is a choice, too: a volume without a class.
func (p *plugin) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	claim, ok := admit.Object[*corev1.PersistentVolumeClaim](a, corev1.Resource("persistentvolumeclaims"))
	if !ok || hasClass(claim) {
		return nil
	}
	if !admit.Ready(ctx, p.synced) {
		return admission.NewForbidden(a, errors.New("not yet ready to handle request"))
	}
	all, err := p.lister.List(labels.Everything())
	if err != nil {
		return admission.NewForbidden(a, err)
	}
	if class := standard(all); class != nil {
		name := class.Name // the class is shared
		claim.Spec.StorageClassName = &name
	}
	return nil
}

func hasClass(c *corev1.PersistentVolumeClaim) bool {
	_, annotated := c.Annotations[corev1.BetaStorageClassAnnotation]
	return annotated || c.Spec.StorageClassName != nil
}

// standard is the newest class that is marked as the default; the first by name of those made in the same second.
func standard(all []*storagev1.StorageClass) *storagev1.StorageClass {
	var found *storagev1.StorageClass
	for _, c := range all {
		if IsDefault(c) && (found == nil || newer(c, found)) {
			found = c
		}
	}
	return found
}

func newer(a, b *storagev1.StorageClass) bool {
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.Name < b.Name
	}
	return b.CreationTimestamp.Before(&a.CreationTimestamp)
}

// IsDefault says whether a class is marked as the default one.
func IsDefault(c *storagev1.StorageClass) bool {
	return c.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" ||
		c.Annotations["storageclass.beta.kubernetes.io/is-default-class"] == "true"
}
