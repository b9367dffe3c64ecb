package apiserver

import (
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsv1beta1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	discoveryendpoint "k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	genericfilters "k8s.io/apiserver/pkg/endpoints/filters"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/notfoundhandler"

	"dhow/apiserver/customresources"
	"dhow/apiserver/openapi"
	"dhow/store"
)

// customResources makes the part that serves what CustomResourceDefinitions define.
func (s *Server) customResources(c *genericapiserver.Config) (*customresources.Server, error) {
	objects := store.Options{Store: s.config.Store, Tracker: c.StorageObjectCountTracker, Transformers: s.config.Encryption.Transformers()}
	objects.Codec = func(schema.GroupResource) runtime.Codec { return unstructured.UnstructuredJSONScheme }
	return customresources.New(customresources.Config{
		Loopback: c.LoopbackClientConfig, Objects: objects,
		Admission: c.AdmissionControl, Authorizer: c.Authorization.Authorizer,
		Services: s.webhookServices(), Credentials: s.webhookCredentials(),
		Discovery: c.AggregatedDiscoveryGroupManager.WithSource(discoveryendpoint.CRDSource), Groups: s.groups,
		RequestTimeout: c.RequestTimeout, MinRequestTimeout: time.Duration(c.MinRequestTimeout) * time.Second,
		MaxBodyBytes: c.MaxRequestBodyBytes,
		NotFound:     notfoundhandler.New(c.Serializer, genericfilters.NoMuxAndDiscoveryIncompleteKey),
	})
}

// installDefinitions serves CustomResourceDefinitions themselves, whose types, defaults and rules are the library's.
func (i installer) installDefinitions() error {
	c := ownConfig(i.config)
	c.Serializer = apiextensions.Codecs
	options := i.options.(store.Options)
	options.Share = false // stored objects are of the library's internal version
	options.Codec = func(schema.GroupResource) runtime.Codec {
		return apiextensions.Codecs.LegacyCodec(apiextensionsv1beta1.SchemeGroupVersion, apiextensionsv1.SchemeGroupVersion)
	}
	storage, err := customresources.Storage(options)
	if err != nil {
		return err
	}
	i.config, i.scheme, i.options, i.apply = c, apiextensions.Scheme, options, &openapi.Types{Names: []string{apiextensionsv1.CustomResourceDefinition{}.OpenAPIModelName()}}
	gv := apiextensionsv1.SchemeGroupVersion
	return i.installGroup(&apiGroup{
		name: gv.Group, versions: []schema.GroupVersion{gv}, storage: map[schema.GroupVersion]map[string]rest.Storage{gv: storage},
	})
}
