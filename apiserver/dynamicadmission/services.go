package dynamicadmission

import (
	"net/url"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
)

// NewServices finds the addresses of Services among their ready endpoints: this machine's resolver does not know
// cluster names.
func NewServices(f informers.SharedInformerFactory) webhook.ServiceResolver {
	services, slices := f.Core().V1().Services(), f.Discovery().V1().EndpointSlices()
	services.Informer()
	slices.Informer()
	return &resolver{services.Lister(), endpoints{slices.Lister()}}
}

type resolver struct {
	services  corelisters.ServiceLister
	endpoints endpoints
}

// ResolveEndpoint implements webhook.ServiceResolver.
func (r *resolver) ResolveEndpoint(namespace, name string, port int32) (*url.URL, error) {
	if s, err := r.services.Services(namespace).Get(name); err == nil && s.Spec.Type == corev1.ServiceTypeExternalName {
		return proxy.ResolveCluster(r.services, namespace, name, port)
	}
	return proxy.ResolveEndpoint(r.services, r.endpoints, namespace, name, port)
}

type endpoints struct {
	slices discoverylisters.EndpointSliceLister
}

// GetEndpointSlices implements proxy.EndpointSliceGetter.
func (e endpoints) GetEndpointSlices(namespace, service string) ([]*discoveryv1.EndpointSlice, error) {
	return e.slices.EndpointSlices(namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service}))
}
