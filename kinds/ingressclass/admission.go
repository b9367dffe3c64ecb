// Package ingressclass is all that the server knows of IngressClasses: defaults, validation, what kubectl prints, and
// the class that Ingresses get that name none.
package ingressclass

import (
	"context"
	"errors"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/client-go/informers"
	networkinglisters "k8s.io/client-go/listers/networking/v1"

	"dhow/api/admit"
)

// Admission gives new Ingresses the default class, the newest if there are several.
func Admission(f informers.SharedInformerFactory) admission.Interface {
	classes := f.Networking().V1().IngressClasses()
	return &plugin{admission.NewHandler(admission.Create), classes.Lister(), classes.Informer().HasSynced}
}

type plugin struct {
	*admission.Handler
	lister networkinglisters.IngressClassLister
	synced func() bool
}

var _ admission.MutationInterface = &plugin{}

// byAnnotation is how Ingresses named their class before there were classes.
const byAnnotation = "kubernetes.io/ingress.class"

// Admit sets spec.ingressClassName.
func (p *plugin) Admit(ctx context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	ingress, ok := admit.Object[*networkingv1.Ingress](a, networkingv1.Resource("ingresses"))
	if !ok || ingress.Spec.IngressClassName != nil {
		return nil
	}
	if _, named := ingress.Annotations[byAnnotation]; named {
		return nil
	}
	if !admit.Ready(ctx, p.synced) {
		return admission.NewForbidden(a, errors.New("not yet ready to handle request"))
	}
	all, err := p.lister.List(labels.Everything())
	if err != nil {
		return admission.NewForbidden(a, err)
	}
	var found *networkingv1.IngressClass
	for _, c := range all {
		if isDefault(c) && (found == nil || newer(c, found)) {
			found = c
		}
	}
	if found != nil {
		name := found.Name // the class is shared
		ingress.Spec.IngressClassName = &name
	}
	return nil
}

// newer: or first by name, of classes made in the same second.
func newer(a, b *networkingv1.IngressClass) bool {
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.Name < b.Name
	}
	return b.CreationTimestamp.Before(&a.CreationTimestamp)
}
