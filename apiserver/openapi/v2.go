package openapi

import (
	"encoding/json"
	"fmt"
	"maps"

	restful "github.com/emicklei/go-restful/v3"
	crdopenapi "k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder"
	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	"k8s.io/kube-openapi/pkg/builder"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/common/restfuladapter"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// documentV2 is an OpenAPI v2 document, or a part of one: v2 has one document for everything.
type documentV2 struct {
	Swagger             string                     `json:"swagger"`
	Info                *spec.Info                 `json:"info"`
	Paths               map[string]json.RawMessage `json:"paths"`
	Definitions         map[string]json.RawMessage `json:"definitions,omitempty"`
	Parameters          map[string]json.RawMessage `json:"parameters,omitempty"`
	SecurityDefinitions spec.SecurityDefinitions   `json:"securityDefinitions,omitempty"`
	Security            []map[string][]string      `json:"security,omitempty"`
}

func (s *Service) newDocumentV2() *documentV2 {
	return &documentV2{
		Swagger: "2.0", Info: s.info(),
		Paths: map[string]json.RawMessage{}, Definitions: map[string]json.RawMessage{}, Parameters: map[string]json.RawMessage{},
	}
}

// builtInV2 describes one part of the endpoints after the other, each without what is in those before: their schemas
// and parameters are largely the same. The caller holds s.mu.
func (s *Service) builtInV2(use func(*documentV2) error) error {
	known, err := unpack()
	if err != nil {
		return err
	}
	said := map[string]bool{}
	for _, endpoints := range s.builtIn {
		built, err := builder.BuildOpenAPISpecFromRoutes(restfuladapter.AdaptWebServices([]*restful.WebService{endpoints}), s.configV2(known))
		if err != nil {
			return fmt.Errorf("describe %s: %w", endpoints.RootPath(), err)
		}
		part := s.newDocumentV2()
		part.SecurityDefinitions, part.Security = built.SecurityDefinitions, built.Security
		part.Definitions = texts(known, built.Definitions, func(r schemaRecord) []byte { return r.v2 })
		if err := part.fill(built.Paths, built.Parameters); err != nil {
			return err
		}
		part.leaveOut(said)
		part.noteNames(said)
		if err := use(part); err != nil {
			return err
		}
	}
	s.said = said
	return nil
}

func (s *Service) configV2(known schemas) *common.Config {
	header := spec.SecurityScheme{SecuritySchemeProps: spec.SecuritySchemeProps{
		Type: "apiKey", Name: "authorization", In: "header", Description: "Bearer Token authentication",
	}}
	return &common.Config{
		ProtocolList: []string{"https"}, Info: s.info(),
		DefaultResponse:       &spec.Response{ResponseProps: spec.ResponseProps{Description: "Default Response."}},
		CommonResponses:       map[int]spec.Response{401: {ResponseProps: spec.ResponseProps{Description: unauthorized}}},
		SecurityDefinitions:   &spec.SecurityDefinitions{bearerName: &header},
		DefaultSecurity:       bearerSecurity(),
		GetOperationIDAndTags: apiopenapi.GetOperationIDAndTags, GetDefinitionName: ownName, GetDefinitions: known.skeletons,
	}
}

// fill makes texts of paths and parameters.
func (d *documentV2) fill(paths *spec.Paths, parameters map[string]spec.Parameter) (err error) {
	if paths != nil {
		for path, item := range paths.Paths {
			if d.Paths[path], err = json.Marshal(item); err != nil {
				return err
			}
		}
	}
	for name, parameter := range parameters {
		if d.Parameters[name], err = json.Marshal(parameter); err != nil {
			return err
		}
	}
	return nil
}

// leaveOut drops what is said already. Paths, types and parameters never share a name.
func (d *documentV2) leaveOut(said map[string]bool) {
	for _, from := range []map[string]json.RawMessage{d.Paths, d.Definitions, d.Parameters} {
		maps.DeleteFunc(from, func(name string, _ json.RawMessage) bool { return said[name] })
	}
}

func (d *documentV2) noteNames(said map[string]bool) {
	for _, from := range []map[string]json.RawMessage{d.Paths, d.Definitions, d.Parameters} {
		for name := range from {
			said[name] = true
		}
	}
}

func (d *documentV2) add(part *documentV2) {
	maps.Copy(d.Paths, part.Paths)
	maps.Copy(d.Definitions, part.Definitions)
	maps.Copy(d.Parameters, part.Parameters)
	if part.Security != nil {
		d.Security, d.SecurityDefinitions = part.Security, part.SecurityDefinitions
	}
}

// customV2 describes custom resources, without what is said of built-in ones.
func (s *Service) customV2(all []customVersion) (*documentV2, error) {
	whole, said := s.newDocumentV2(), maps.Clone(s.said)
	for _, c := range all {
		built, err := crdopenapi.BuildOpenAPIV2(c.definition, c.version, crdopenapi.Options{V2: true, IncludeSelectableFields: true})
		if err != nil {
			s.config.Log.Warn("custom resource cannot be described", "definition", c.definition.Name, "err", err)
			continue
		}
		part := s.newDocumentV2()
		for name, schema := range handler.PruneDefaults(built.Definitions) {
			if part.Definitions[name], err = json.Marshal(schema); err != nil {
				return nil, err
			}
		}
		if err := part.fill(built.Paths, built.Parameters); err != nil {
			return nil, err
		}
		part.leaveOut(said)
		part.noteNames(said)
		whole.add(part)
	}
	return whole, nil
}

// jsonV2 is the document as JSON. The caller holds s.mu.
func (s *Service) jsonV2(custom []customVersion) ([]byte, error) {
	whole := s.newDocumentV2()
	err := s.builtInV2(func(part *documentV2) error {
		whole.add(part)
		return nil
	})
	if err != nil {
		return nil, err
	}
	also, err := s.customV2(custom)
	if err != nil {
		return nil, err
	}
	whole.add(also)
	return json.Marshal(whole)
}

// protoV2 is the document as protobuf, made of parts: messages merge when they are put one behind the other. Those of
// what is built in are made once. The caller holds s.mu.
func (s *Service) protoV2(custom []customVersion) ([]byte, error) {
	builtIn, err := s.getLocked(request{name: "v2 proto built-in", hash: s.whole, make: func() (all []byte, err error) {
		err = s.builtInV2(func(part *documentV2) error {
			all, err = part.appendProto(all)
			return err
		})
		return all, err
	}})
	if err != nil {
		return nil, err
	}
	all, err := unzip(builtIn.packed)
	if err != nil || len(custom) == 0 {
		return all, err
	}
	also, err := s.customV2(custom)
	if err != nil {
		return nil, err
	}
	return also.appendProto(all)
}

func (d *documentV2) appendProto(to []byte) ([]byte, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	message, err := handler.ToProtoBinary(text)
	return append(to, message...), err
}
