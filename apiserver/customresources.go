package apiserver

import (
	"net/http"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsv1beta1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	apiextensionsopenapi "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	clientscheme "k8s.io/client-go/kubernetes/scheme"

	"dhow/store"
)

// customResources serves CustomResourceDefinitions and the objects that they define, by the library's server.
func (s *Server) customResources(base *genericapiserver.Config) (*genericapiserver.GenericAPIServer, error) {
	c := ownConfig(base)
	c.Serializer = apiextensions.Codecs
	c.MergedResourceConfig = apiextensions.DefaultAPIResourceConfigSource()
	namer := openapi.NewDefinitionNamer(apiextensions.Scheme, clientscheme.Scheme)
	c.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(apiextensionsopenapi.GetOpenAPIDefinitions, namer)
	c.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(apiextensionsopenapi.GetOpenAPIDefinitions, namer)
	c.SkipOpenAPIInstallation = true // ours knows these as well
	options := store.Options{Store: s.config.Store, Tracker: c.StorageObjectCountTracker}
	definitions, objects := options, options
	definitions.Codec = func(schema.GroupResource) runtime.Codec {
		return apiextensions.Codecs.LegacyCodec(apiextensionsv1beta1.SchemeGroupVersion, apiextensionsv1.SchemeGroupVersion)
	}
	objects.Codec = func(schema.GroupResource) runtime.Codec { return unstructured.UnstructuredJSONScheme }
	c.RESTOptionsGetter = definitions
	config := apiextensions.Config{
		GenericConfig: &genericapiserver.RecommendedConfig{Config: *c, SharedInformerFactory: s.informers},
		ExtraConfig: apiextensions.ExtraConfig{
			CRDRESTOptionsGetter: objects,
			MasterCount:          1,
			ServiceResolver:      s.webhookServices(),
			AuthResolverWrapper:  s.webhookCredentials(),
		},
	}
	server, err := config.Complete().New(genericapiserver.NewEmptyDelegateWithCustomHandler(http.NotFoundHandler()))
	if err != nil {
		return nil, err
	}
	s.definitions = server.Informers.Apiextensions().V1().CustomResourceDefinitions().Lister()
	return server.GenericAPIServer, nil
}
