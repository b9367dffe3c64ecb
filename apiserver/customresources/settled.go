package customresources

import (
	"slices"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	informers "k8s.io/apiextensions-apiserver/pkg/client/informers/externalversions/apiextensions/v1"
	listers "k8s.io/apiextensions-apiserver/pkg/client/listers/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// settled shows definitions to the library's handler as if they had been established long ago. The library keeps the
// first object of a new kind waiting for two seconds, so that other API servers of the cluster hear of the kind
// meanwhile. There is one server here.
type settled struct {
	informers.CustomResourceDefinitionInformer
}

// Lister implements informers.CustomResourceDefinitionInformer.
func (s settled) Lister() listers.CustomResourceDefinitionLister {
	return settledLister{s.CustomResourceDefinitionInformer.Lister()}
}

type settledLister struct {
	listers.CustomResourceDefinitionLister
}

// Get returns a definition that shares all but its conditions with the informer's.
func (l settledLister) Get(name string) (*apiextensionsv1.CustomResourceDefinition, error) {
	d, err := l.CustomResourceDefinitionLister.Get(name)
	if err != nil || apihelpers.FindCRDCondition(d, apiextensionsv1.Established) == nil {
		return d, err
	}
	shown := *d
	shown.Status.Conditions = slices.Clone(d.Status.Conditions)
	apihelpers.FindCRDCondition(&shown, apiextensionsv1.Established).LastTransitionTime = metav1.Time{}
	return &shown, nil
}
