package customresources

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/apiserver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapi "k8s.io/apiserver/pkg/endpoints/discovery"
	discoveryendpoint "k8s.io/apiserver/pkg/endpoints/discovery/aggregated"

	"dhow/apiserver/groups"
)

// discovery tells what custom resources there are: at /apis/<group> and /apis/<group>/<version>, in the list of groups,
// and in the aggregated document.
type discovery struct {
	aggregated discoveryendpoint.ResourceManager
	groups     *groups.List

	mu    sync.RWMutex
	known map[string]map[string]http.Handler // by group and version
}

// serve answers what is asked about custom groups, and says whether it was.
func (d *discovery) serve(w http.ResponseWriter, r *http.Request) bool {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if parts[0] != "apis" || len(parts) < 2 || len(parts) > 3 {
		return false
	}
	if len(parts) == 2 {
		return d.groups.ServeGroup(parts[1], w, r)
	}
	d.mu.RLock()
	h := d.known[parts[1]][parts[2]]
	d.mu.RUnlock()
	if h == nil {
		return false
	}
	h.ServeHTTP(w, r)
	return true
}

// set tells what a group consists of now.
func (d *discovery) set(group string, definitions []*apiextensionsv1.CustomResourceDefinition) {
	lists := served(definitions)
	handlers := map[string]http.Handler{}
	var versions []groups.Version
	for v, list := range lists {
		gv, resources := schema.GroupVersion{Group: group, Version: v}, list.resources
		handlers[v] = genericapi.NewAPIVersionHandler(apiextensions.Codecs, gv,
			genericapi.APIResourceListerFunc(func() []metav1.APIResource { return resources }))
		versions = append(versions, groups.Version{Version: v, Priority: groups.OfCustom})
		d.aggregated.AddGroupVersion(group, apidiscoveryv2.APIVersionDiscovery{
			Version: v, Resources: list.aggregated, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent,
		})
		d.aggregated.SetGroupVersionPriority(metav1.GroupVersion(gv), int(groups.OfCustom.Group), int(groups.OfCustom.Version))
	}
	d.groups.Set(groups.Custom, group, versions)
	d.mu.Lock()
	defer d.mu.Unlock()
	for v := range d.known[group] {
		if lists[v] == nil {
			d.aggregated.RemoveGroupVersion(metav1.GroupVersion{Group: group, Version: v})
		}
	}
	if len(handlers) == 0 {
		delete(d.known, group)
		return
	}
	d.known[group] = handlers
}

// versionLists are the resources of one version, for both forms of discovery.
type versionLists struct {
	resources  []metav1.APIResource
	aggregated []apidiscoveryv2.APIResourceDiscovery
}

// served lists what the definitions of one group serve, by version.
func served(definitions []*apiextensionsv1.CustomResourceDefinition) map[string]*versionLists {
	lists := map[string]*versionLists{}
	definitions = slices.Clone(definitions)
	slices.SortFunc(definitions, func(a, b *apiextensionsv1.CustomResourceDefinition) int { return strings.Compare(a.Name, b.Name) })
	for _, d := range definitions {
		if !apihelpers.IsCRDConditionTrue(d, apiextensionsv1.Established) {
			continue
		}
		for _, v := range d.Spec.Versions {
			if !v.Served {
				continue
			}
			if lists[v.Name] == nil {
				lists[v.Name] = &versionLists{}
			}
			lists[v.Name].add(d, v)
		}
	}
	return lists
}

var (
	allVerbs         = metav1.Verbs{"delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"}
	terminatingVerbs = metav1.Verbs{"delete", "deletecollection", "get", "list", "watch"}
	partVerbs        = metav1.Verbs{"get", "patch", "update"}
)

func (l *versionLists) add(d *apiextensionsv1.CustomResourceDefinition, v apiextensionsv1.CustomResourceDefinitionVersion) {
	names, namespaced := d.Status.AcceptedNames, d.Spec.Scope == apiextensionsv1.NamespaceScoped
	verbs, scope := allVerbs, apidiscoveryv2.ScopeCluster
	if apihelpers.IsCRDConditionTrue(d, apiextensionsv1.Terminating) {
		verbs = terminatingVerbs
	}
	if namespaced {
		scope = apidiscoveryv2.ScopeNamespace
	}
	own := metav1.GroupVersionKind{Group: d.Spec.Group, Version: v.Name, Kind: names.Kind}
	l.resources = append(l.resources, metav1.APIResource{
		Name: names.Plural, SingularName: names.Singular, Namespaced: namespaced, Kind: names.Kind, Verbs: verbs,
		ShortNames: names.ShortNames, Categories: names.Categories, StorageVersionHash: storageHash(d),
	})
	described := apidiscoveryv2.APIResourceDiscovery{
		Resource: names.Plural, SingularResource: names.Singular, Scope: scope, ResponseKind: &own, Verbs: verbs,
		ShortNames: names.ShortNames, Categories: names.Categories,
	}
	part := func(name string, kind metav1.GroupVersionKind) {
		described.Subresources = append(described.Subresources, apidiscoveryv2.APISubresourceDiscovery{Subresource: name, ResponseKind: &kind, Verbs: partVerbs})
		also := metav1.APIResource{Name: names.Plural + "/" + name, Namespaced: namespaced, Kind: kind.Kind, Verbs: partVerbs}
		if kind != own {
			also.Group, also.Version = kind.Group, kind.Version
		}
		l.resources = append(l.resources, also)
	}
	if s := v.Subresources; s != nil && s.Status != nil {
		part("status", own)
	}
	if s := v.Subresources; s != nil && s.Scale != nil {
		part("scale", metav1.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"})
	}
	l.aggregated = append(l.aggregated, described)
}

// storageHash tells clients when objects are stored in another version.
func storageHash(d *apiextensionsv1.CustomResourceDefinition) string {
	for _, v := range d.Spec.Versions {
		if v.Storage {
			return genericapi.StorageVersionHash(d.Spec.Group, v.Name, d.Spec.Names.Kind)
		}
	}
	return ""
}
