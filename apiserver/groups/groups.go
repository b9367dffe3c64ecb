// Package groups lists the API groups that the server has, whoever serves them, in the order in which clients shall
// look for a kind.
package groups

import (
	"net/http"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints/discovery"
)

// Source is a part of the server that serves groups.
type Source int

// The sources: kinds of the server's own, custom resources, other servers.
const (
	BuiltIn Source = iota
	Custom
	Remote
)

// Version is one version of a group. A group stands before others by the highest Group priority among its versions;
// a version among its group's by its own.
type Version struct {
	Version string
	Priority
}

// List knows the groups. The zero List does not serve; set Addresses and Serializer.
type List struct {
	Addresses  discovery.Addresses
	Serializer runtime.NegotiatedSerializer

	mu       sync.RWMutex
	known    map[string]map[Source][]Version
	onChange func(group, version string)
}

// Set says what a source serves of a group; no versions: nothing.
func (l *List) Set(from Source, group string, versions []Version) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := append(slices.Clone(versions), l.known[group][from]...)
	l.set(from, group, versions)
	if l.onChange == nil || from == Remote {
		return
	}
	for _, v := range changed {
		l.onChange(group, v.Version)
	}
}

func (l *List) set(from Source, group string, versions []Version) {
	if len(versions) == 0 {
		delete(l.known[group], from)
		if len(l.known[group]) == 0 {
			delete(l.known, group)
		}
		return
	}
	if l.known == nil {
		l.known = map[string]map[Source][]Version{}
	}
	if l.known[group] == nil {
		l.known[group] = map[Source][]Version{}
	}
	l.known[group][from] = versions
}

// OnChange has f called, from now on, for each version of a group that the server itself perhaps serves anew or no
// longer. f must not call the List.
func (l *List) OnChange(f func(group, version string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.onChange = f
}

// Each calls f for all that is served.
func (l *List) Each(f func(from Source, group string, v Version)) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for name, sources := range l.known {
		for from, versions := range sources {
			for _, v := range versions {
				f(from, name, v)
			}
		}
	}
}

// Own says whether the server itself serves a version of a group, and as what.
func (l *List) Own(gv schema.GroupVersion) (Priority, Source, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, from := range []Source{BuiltIn, Custom} {
		for _, v := range l.known[gv.Group][from] {
			if v.Version == gv.Version {
				return v.Priority, from, true
			}
		}
	}
	return Priority{}, 0, false
}

// Has says whether a source serves something of a group.
func (l *List) Has(from Source, group string) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.known[group][from] != nil
}

// All are the groups in their order.
func (l *List) All() []metav1.APIGroup {
	l.mu.RLock()
	defer l.mu.RUnlock()
	type ranked struct {
		group    metav1.APIGroup
		priority int32
	}
	all := make([]ranked, 0, len(l.known))
	for name := range l.known {
		g, priority := l.describe(name)
		all = append(all, ranked{g, priority})
	}
	slices.SortFunc(all, func(a, b ranked) int {
		if a.priority != b.priority {
			return int(b.priority - a.priority)
		}
		return strings.Compare(a.group.Name, b.group.Name)
	})
	groups := make([]metav1.APIGroup, len(all))
	for i := range all {
		groups[i] = all[i].group
	}
	return groups
}

// describe merges what the sources serve of a group. The caller holds mu.
func (l *List) describe(name string) (metav1.APIGroup, int32) {
	var versions []Version
	for _, of := range l.known[name] {
		for _, v := range of {
			if !slices.ContainsFunc(versions, func(have Version) bool { return have.Version == v.Version }) {
				versions = append(versions, v)
			}
		}
	}
	slices.SortFunc(versions, func(a, b Version) int {
		if a.Priority.Version != b.Priority.Version {
			return int(b.Priority.Version - a.Priority.Version)
		}
		return version.CompareKubeAwareVersionStrings(b.Version, a.Version)
	})
	g, priority := metav1.APIGroup{Name: name}, int32(0)
	for _, v := range versions {
		gv := schema.GroupVersion{Group: name, Version: v.Version}
		g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: v.Version})
		priority = max(priority, v.Group)
	}
	if len(g.Versions) > 0 {
		g.PreferredVersion = g.Versions[0]
	}
	return g, priority
}

// ServeHTTP answers GET /apis.
func (l *List) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := discovery.NewRootAPIsHandler(l.Addresses, l.Serializer)
	for _, g := range l.All() {
		if g.Name != "" {
			answer.AddGroup(g)
		}
	}
	answer.ServeHTTP(w, r)
}

// Group describes a group; one without versions is not there.
func (l *List) Group(name string) metav1.APIGroup {
	l.mu.RLock()
	defer l.mu.RUnlock()
	g, _ := l.describe(name)
	return g
}

// ServeGroup answers GET /apis/<group>, and says whether there is such a group.
func (l *List) ServeGroup(name string, w http.ResponseWriter, r *http.Request) bool {
	g := l.Group(name)
	if len(g.Versions) == 0 {
		return false
	}
	discovery.NewAPIGroupHandler(l.Serializer, g).ServeHTTP(w, r)
	return true
}
