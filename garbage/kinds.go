package garbage

import (
	"errors"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// kind is one served kind of objects.
type kind struct {
	schema.GroupVersionKind
	apiVersion string
	resource   schema.GroupVersionResource
	namespaced bool
	watched    bool // it can be listed, watched and deleted
}

// kinds are those that the server serves, in every version.
type kinds struct {
	mu     sync.RWMutex
	byKind map[schema.GroupVersionKind]*kind
}

func (k *kinds) find(apiVersion, name string) (*kind, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	found, ok := k.byKind[schema.FromAPIVersionAndKind(apiVersion, name)]
	return found, ok
}

func (k *kinds) set(all map[schema.GroupVersionKind]*kind) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.byKind = all
}

// served is what discovery tells.
type served struct {
	all map[schema.GroupVersionKind]*kind
	// watch has each resource once, in its group's preferred version.
	watch map[schema.GroupResource]*kind
	// failed are groups that did not answer.
	failed map[string]bool
}

// discover asks the server for its kinds. A group that does not answer is no error.
func discover(client discovery.DiscoveryInterface) (served, error) {
	groups, lists, err := client.ServerGroupsAndResources()
	s := kindsOf(groups, lists)
	var partial *discovery.ErrGroupDiscoveryFailed
	if errors.As(err, &partial) {
		for version := range partial.Groups {
			s.failed[version.Group] = true
		}
		return s, nil
	}
	return s, err
}

func kindsOf(groups []*metav1.APIGroup, lists []*metav1.APIResourceList) served {
	s := served{all: map[schema.GroupVersionKind]*kind{}, watch: map[schema.GroupResource]*kind{}, failed: map[string]bool{}}
	preferred := map[string]string{}
	for _, g := range groups {
		preferred[g.Name] = g.PreferredVersion.Version
	}
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue // such a group cannot be asked for either
		}
		for _, r := range list.APIResources {
			s.add(version, r, preferred[version.Group] == version.Version)
		}
	}
	return s
}

func (s served) add(version schema.GroupVersion, r metav1.APIResource, preferred bool) {
	if strings.Contains(r.Name, "/") {
		return // a subresource
	}
	k := &kind{
		GroupVersionKind: version.WithKind(r.Kind), apiVersion: version.String(),
		resource: version.WithResource(r.Name), namespaced: r.Namespaced,
		watched: canAll(r.Verbs, "delete", "list", "watch"),
	}
	s.all[k.GroupVersionKind] = k
	at := k.resource.GroupResource()
	if k.watched && !ignored[at] && (preferred || s.watch[at] == nil) {
		s.watch[at] = k
	}
}

func canAll(verbs metav1.Verbs, wanted ...string) bool {
	return !slices.ContainsFunc(wanted, func(v string) bool { return !slices.Contains(verbs, v) })
}

// ignored are many, short-lived, and own nothing.
var ignored = map[schema.GroupResource]bool{{Resource: "events"}: true, {Group: "events.k8s.io", Resource: "events"}: true}
