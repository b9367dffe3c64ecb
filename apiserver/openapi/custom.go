package openapi

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// customVersion is one served version of a custom resource.
type customVersion struct {
	definition *apiextensionsv1.CustomResourceDefinition
	version    string
}

// path is where its group version is served.
func (c customVersion) path() string { return "apis/" + c.definition.Spec.Group + "/" + c.version }

// custom lists what is served now, always in the same order.
func (s *Service) custom() ([]customVersion, error) {
	definitions, err := s.config.Custom()
	if err != nil {
		return nil, fmt.Errorf("list custom resource definitions: %w", err)
	}
	var all []customVersion
	for _, d := range definitions {
		if !apihelpers.IsCRDConditionTrue(d, apiextensionsv1.Established) {
			continue
		}
		for _, v := range d.Spec.Versions {
			if v.Served {
				all = append(all, customVersion{d, v.Name})
			}
		}
	}
	slices.SortFunc(all, func(a, b customVersion) int {
		return strings.Compare(a.path()+"/"+a.definition.Name, b.path()+"/"+b.definition.Name)
	})
	return all, nil
}

// customHash changes when one of the definitions does.
func (s *Service) customHash(all []customVersion) string {
	h := s.newHash(nil)
	for _, c := range all {
		fmt.Fprintln(h, c.definition.Name, c.version, c.definition.UID, c.definition.Generation, c.definition.Status.AcceptedNames)
	}
	return sum(h)
}

// byPath groups custom resources by their group versions, but for those that are built in.
func (s *Service) byPath(all []customVersion) map[string][]customVersion {
	grouped := map[string][]customVersion{}
	for _, c := range all {
		if s.hashes[c.path()] == "" {
			grouped[c.path()] = append(grouped[c.path()], c)
		}
	}
	return grouped
}
