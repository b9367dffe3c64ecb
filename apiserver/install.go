package apiserver

import (
	"fmt"
	"time"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	genericapi "k8s.io/apiserver/pkg/endpoints"
	"k8s.io/apiserver/pkg/endpoints/discovery"
	discoveryendpoint "k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"dhow/apiserver/groups"
)

// installer adds groups of kinds to a library server. The library's own InstallAPIGroup would build OpenAPI
// models of everything at start, at 0.6 s and 45 MB or more.
type installer struct {
	server  *genericapiserver.GenericAPIServer
	config  *genericapiserver.Config
	scheme  *runtime.Scheme
	options generic.RESTOptionsGetter
	apply   managedfields.TypeConverter
	groups  *groups.List
	answers map[schema.GroupVersion]map[string]rest.Storage // what is not stored
}

// apiGroup is one API group's versions and their endpoints.
type apiGroup struct {
	name     string
	versions []schema.GroupVersion // preferred first
	storage  map[schema.GroupVersion]map[string]rest.Storage
}

// install adds kinds, whose group versions are preferred in the order they appear in.
func (i *installer) install(kinds []Kind) error {
	var all []*apiGroup
	byName := map[string]*apiGroup{}
	group := func(name string) *apiGroup {
		if byName[name] == nil {
			byName[name] = &apiGroup{name: name, storage: map[schema.GroupVersion]map[string]rest.Storage{}}
			all = append(all, byName[name])
		}
		return byName[name]
	}
	for _, k := range kinds {
		storages, err := k.storages(i.scheme, i.options)
		if err != nil {
			return fmt.Errorf("kind %s: %w", k.Kind, err)
		}
		group(k.GroupVersion.Group).add(k.GroupVersion, storages)
		for gv, also := range k.aliases(storages) { // perhaps of another group: events.k8s.io
			group(gv.Group).add(gv, also)
		}
	}
	for gv, storages := range i.answers {
		group(gv.Group).add(gv, storages)
	}
	for _, g := range all {
		if err := i.installGroup(g); err != nil {
			return fmt.Errorf("group %q: %w", g.name, err)
		}
	}
	if err := i.installDefinitions(); err != nil {
		return fmt.Errorf("group %q: %w", apiextensionsv1.GroupName, err)
	}
	i.serveGroups()
	return nil
}

func (g *apiGroup) add(gv schema.GroupVersion, storages map[string]rest.Storage) {
	if g.storage[gv] == nil {
		g.storage[gv] = map[string]rest.Storage{}
		g.versions = append(g.versions, gv)
	}
	for name, s := range storages {
		g.storage[gv][name] = s
	}
}

func (i *installer) installGroup(g *apiGroup) error {
	for _, gv := range g.versions {
		if err := i.installVersion(g, gv); err != nil {
			return err
		}
	}
	i.groups.Set(groups.BuiltIn, g.name, i.priorities(g))
	if g.name == "" {
		i.serveLegacyRoot()
		return nil
	}
	i.server.Handler.GoRestfulContainer.Add(discovery.NewAPIGroupHandler(i.server.Serializer, i.groups.Group(g.name)).WebService())
	return nil
}

// priorities are those of a group's versions; aggregated discovery is told.
func (i *installer) priorities(g *apiGroup) (versions []groups.Version) {
	for _, gv := range g.versions {
		p := groups.Of(gv)
		versions = append(versions, groups.Version{Version: gv.Version, Priority: p})
		i.server.AggregatedDiscoveryGroupManager.SetGroupVersionPriority(metav1.GroupVersion(gv), int(p.Group), int(p.Version))
	}
	return versions
}

func (i *installer) installVersion(g *apiGroup, gv schema.GroupVersion) error {
	s := i.server
	v := &genericapi.APIGroupVersion{
		Root: "/apis", Storage: g.storage[gv], GroupVersion: gv,
		AllServedVersionsByResource: g.servedVersions(),
		ParameterCodec:              runtime.NewParameterCodec(i.scheme), Serializer: i.config.Serializer,
		Creater: i.scheme, Convertor: i.scheme, ConvertabilityChecker: i.scheme, Defaulter: i.scheme, Typer: i.scheme,
		UnsafeConvertor:            runtime.UnsafeObjectConvertor(i.scheme),
		Namer:                      runtime.Namer(meta.NewAccessor()),
		EquivalentResourceRegistry: s.EquivalentResourceRegistry,
		MinRequestTimeout:          time.Duration(i.config.MinRequestTimeout) * time.Second,
		MaxRequestBodyBytes:        i.config.MaxRequestBodyBytes,
		Authorizer:                 s.Authorizer, Admit: i.config.AdmissionControl, TypeConverter: i.apply,
	}
	if g.name == "" {
		v.Root = "/api"
	}
	v.OptionsExternalVersion = &schema.GroupVersion{Version: "v1"}
	resources, _, err := v.InstallREST(s.Handler.GoRestfulContainer)
	if err != nil {
		return err
	}
	found := apidiscoveryv2.APIVersionDiscovery{
		Version: gv.Version, Resources: resources, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
	}
	if g.name == "" {
		s.AggregatedLegacyDiscoveryGroupManager.AddGroupVersion("", found)
	} else {
		s.AggregatedDiscoveryGroupManager.AddGroupVersion(g.name, found)
	}
	i.awaitStorage(g, gv)
	return nil
}

// servedVersions lists for each resource the versions that it is served in.
func (g *apiGroup) servedVersions() map[string][]string {
	served := map[string][]string{}
	for _, gv := range g.versions {
		for name := range g.storage[gv] {
			served[name] = append(served[name], gv.Version)
		}
	}
	return served
}

// awaitStorage makes /readyz wait until the watch caches are filled.
func (i *installer) awaitStorage(g *apiGroup, gv schema.GroupVersion) {
	for name, s := range g.storage[gv] {
		if r, ok := s.(rest.StorageWithReadiness); ok {
			i.server.StorageReadinessHook.RegisterStorage(metav1.GroupVersionResource{Group: gv.Group, Version: gv.Version, Resource: name}, r)
		}
	}
}

// serveLegacyRoot answers GET /api.
func (i *installer) serveLegacyRoot() {
	s := i.server
	root := discovery.NewLegacyRootAPIHandler(i.config.DiscoveryAddresses, s.Serializer, "/api")
	wrapped := discoveryendpoint.WrapAggregatedDiscoveryToHandler(root, s.AggregatedLegacyDiscoveryGroupManager, s.AggregatedLegacyDiscoveryGroupManager)
	s.Handler.GoRestfulContainer.Add(wrapped.GenerateWebService("/api", metav1.APIVersions{}))
}

// serveGroups answers GET /apis.
func (i *installer) serveGroups() {
	aggregated := i.server.AggregatedDiscoveryGroupManager
	wrapped := discoveryendpoint.WrapAggregatedDiscoveryToHandler(i.groups, aggregated, aggregated)
	i.server.Handler.GoRestfulContainer.Add(wrapped.GenerateWebService("/apis", metav1.APIGroupList{}))
}
