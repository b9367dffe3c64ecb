package customresources

import (
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	"k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// schemas describe the named types and all that is in them.
func schemas(types ...string) (map[string]*spec.Schema, error) {
	namer := apiopenapi.NewDefinitionNamer(apiextensions.Scheme)
	return builder3.BuildOpenAPIDefinitionsForResources(&common.OpenAPIV3Config{
		GetDefinitionName: namer.GetDefinitionName, GetDefinitions: openapi.GetOpenAPIDefinitions,
	}, types...)
}
