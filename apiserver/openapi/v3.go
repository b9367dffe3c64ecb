package openapi

import (
	"encoding/json"
	"fmt"

	restful "github.com/emicklei/go-restful/v3"
	crdopenapi "k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder"
	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/kube-openapi/pkg/builder3"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/common/restfuladapter"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// documentV3 is an OpenAPI v3 document whose schemas are text already.
type documentV3 struct {
	OpenAPI    string       `json:"openapi"`
	Info       *spec.Info   `json:"info"`
	Paths      *spec3.Paths `json:"paths"`
	Components struct {
		Schemas         map[string]json.RawMessage `json:"schemas,omitempty"`
		SecuritySchemes spec3.SecuritySchemes      `json:"securitySchemes,omitempty"`
	} `json:"components"`
}

// builtInV3 describes the endpoints of one group version, or of one other root.
func (s *Service) builtInV3(endpoints *restful.WebService) ([]byte, error) {
	known, err := unpack()
	if err != nil {
		return nil, err
	}
	c := &common.OpenAPIV3Config{
		Info: s.info(), DefaultResponse: &spec3.Response{ResponseProps: spec3.ResponseProps{Description: "Default Response."}},
		CommonResponses:       map[int]*spec3.Response{401: {ResponseProps: spec3.ResponseProps{Description: unauthorized}}},
		SecuritySchemes:       spec3.SecuritySchemes{bearerName: {SecuritySchemeProps: bearerV3()}},
		DefaultSecurity:       bearerSecurity(),
		GetOperationIDAndTags: apiopenapi.GetOperationIDAndTags, GetDefinitionName: ownName, GetDefinitions: known.skeletons,
	}
	built, err := builder3.BuildOpenAPISpecFromRoutes(restfuladapter.AdaptWebServices([]*restful.WebService{endpoints}), c)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", endpoints.RootPath(), err)
	}
	d := documentV3{OpenAPI: built.Version, Info: built.Info, Paths: built.Paths}
	d.Components.SecuritySchemes = built.Components.SecuritySchemes
	d.Components.Schemas = texts(known, built.Components.Schemas, func(r schemaRecord) []byte { return r.v3 })
	return json.Marshal(d)
}

// customV3 describes custom resources of one group version.
func (s *Service) customV3(of []customVersion) ([]byte, error) {
	all := make([]*spec3.OpenAPI, 0, len(of))
	for _, c := range of {
		one, err := crdopenapi.BuildOpenAPIV3(c.definition, c.version, crdopenapi.Options{IncludeSelectableFields: true})
		if err != nil {
			s.config.Log.Warn("custom resource cannot be described", "definition", c.definition.Name, "err", err)
			continue
		}
		all = append(all, one)
	}
	merged, err := crdopenapi.MergeSpecsV3(all...)
	if err != nil {
		return nil, err
	}
	return json.Marshal(merged)
}

const (
	bearerName   = "BearerToken"
	unauthorized = "Unauthorized"
)

func bearerV3() spec3.SecuritySchemeProps {
	return spec3.SecuritySchemeProps{Type: "apiKey", Name: "authorization", In: "header", Description: "Bearer Token authentication"}
}

func bearerSecurity() []map[string][]string { return []map[string][]string{{bearerName: {}}} }

func (s *Service) info() *spec.Info {
	return &spec.Info{InfoProps: spec.InfoProps{Title: "Kubernetes", Version: s.config.Version}}
}
