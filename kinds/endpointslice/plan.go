package endpointslice

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/backends"
)

// mostEndpoints is how many a slice lists.
const mostEndpoints = 100

// changes are what turns the slices that are into those that should be.
type changes struct{ create, update, remove []*discoveryv1.EndpointSlice }

// group are endpoints that may share slices: those of one IP family with the same ports.
type group struct {
	family    discoveryv1.AddressType
	ports     []discoveryv1.EndpointPort
	endpoints []discoveryv1.Endpoint
}

// plan lists a Service's pods in as few changed slices as can be: what stays keeps its place.
func plan(s *corev1.Service, pods []*corev1.Pod, zone func(node string) string, have []*discoveryv1.EndpointSlice) changes {
	groups := groupsOf(s, pods, zone)
	byGroup := map[string][]*discoveryv1.EndpointSlice{}
	for _, slice := range have {
		if slice.DeletionTimestamp == nil {
			key := groupKey(slice.AddressType, slice.Ports)
			byGroup[key] = append(byGroup[key], slice)
		}
	}
	var c changes
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		c.fit(s, groups[key], byGroup[key], triggered(s, pods))
		delete(byGroup, key)
	}
	for _, key := range slices.Sorted(maps.Keys(byGroup)) {
		c.remove = append(c.remove, byGroup[key]...)
	}
	c.recycle()
	return c
}

// recycle writes new slices into old ones that would go: one change instead of two.
func (c *changes) recycle() {
	var create []*discoveryv1.EndpointSlice
	for _, s := range c.create {
		at := slices.IndexFunc(c.remove, func(old *discoveryv1.EndpointSlice) bool { return old.AddressType == s.AddressType })
		if at < 0 {
			create = append(create, s)
			continue
		}
		next := c.remove[at].DeepCopy()
		next.Labels, next.Annotations, next.Ports, next.Endpoints = s.Labels, s.Annotations, s.Ports, s.Endpoints
		c.update, c.remove = append(c.update, next), slices.Delete(c.remove, at, at+1)
	}
	c.create = create
}

// groupsOf sorts the pods' endpoints by family and ports. A Service without pods has an empty group in each family, so
// that it is known to have none.
func groupsOf(s *corev1.Service, pods []*corev1.Pod, zone func(string) string) map[string]*group {
	groups := map[string]*group{}
	families := s.Spec.IPFamilies
	if len(families) == 0 {
		families = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	for _, family := range families {
		v6 := family == corev1.IPv6Protocol
		kind := discoveryv1.AddressType(family)
		found := false
		for _, pod := range pods {
			address := backends.Address(pod, v6)
			if !backends.Listed(pod) || address == "" {
				continue
			}
			ports := portsOf(s, pod)
			key := groupKey(kind, ports)
			if groups[key] == nil {
				groups[key] = &group{family: kind, ports: ports}
			}
			groups[key].endpoints = append(groups[key].endpoints, backend(s, pod, address, zone(pod.Spec.NodeName)))
			found = true
		}
		if !found {
			groups[groupKey(kind, nil)] = &group{family: kind}
		}
	}
	return groups
}

func groupKey(family discoveryv1.AddressType, ports []discoveryv1.EndpointPort) string {
	key := string(family)
	sorted := slices.Clone(ports)
	slices.SortFunc(sorted, func(a, b discoveryv1.EndpointPort) int { return cmp.Compare(portKey(a), portKey(b)) })
	for _, p := range sorted {
		key += "," + portKey(p)
	}
	return key
}

func portKey(p discoveryv1.EndpointPort) string {
	return fmt.Sprintf("%s/%s/%d/%s", value(p.Name), value(p.Protocol), value(p.Port), value(p.AppProtocol))
}

func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

func portsOf(s *corev1.Service, pod *corev1.Pod) []discoveryv1.EndpointPort {
	var ports []discoveryv1.EndpointPort
	for _, p := range backends.Ports(s, pod) {
		port := discoveryv1.EndpointPort{Name: &p.Name, Protocol: &p.Protocol, Port: &p.Port}
		if p.AppProtocol != "" {
			port.AppProtocol = &p.AppProtocol
		}
		ports = append(ports, port)
	}
	return ports
}

func backend(s *corev1.Service, pod *corev1.Pod, address, zone string) discoveryv1.Endpoint {
	serving, terminating := backends.Ready(pod), pod.DeletionTimestamp != nil
	ready := s.Spec.PublishNotReadyAddresses || serving && !terminating
	e := discoveryv1.Endpoint{
		Addresses:  []string{address},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	}
	if pod.Spec.NodeName != "" {
		e.NodeName = &pod.Spec.NodeName
	}
	if zone != "" {
		e.Zone = &zone
	}
	if name := backends.Hostname(s, pod); name != "" {
		e.Hostname = &name
	}
	e.Hints = hintsFor(s, pod.Spec.NodeName, zone)
	return e
}

// hintsFor lead traffic to near endpoints, where the Service asks for that.
func hintsFor(s *corev1.Service, node, zone string) *discoveryv1.EndpointHints {
	switch value(s.Spec.TrafficDistribution) {
	case corev1.ServiceTrafficDistributionPreferClose, corev1.ServiceTrafficDistributionPreferSameZone:
		if zone != "" {
			return &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: zone}}}
		}
	case corev1.ServiceTrafficDistributionPreferSameNode:
		h := &discoveryv1.EndpointHints{ForNodes: []discoveryv1.ForNode{{Name: node}}}
		if zone != "" {
			h.ForZones = []discoveryv1.ForZone{{Name: zone}}
		}
		return h
	}
	return nil
}

// triggered is when what is listed last changed, as far as pods tell.
func triggered(s *corev1.Service, pods []*corev1.Pod) time.Time {
	last := s.CreationTimestamp.Time
	for _, pod := range pods {
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.LastTransitionTime.After(last) {
				last = c.LastTransitionTime.Time
			}
		}
	}
	return last
}

// fit puts a group's endpoints into its slices.
func (c *changes) fit(s *corev1.Service, g *group, have []*discoveryv1.EndpointSlice, at time.Time) {
	slices.SortFunc(have, func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	wanted := map[string]discoveryv1.Endpoint{}
	for _, e := range g.endpoints {
		wanted[identity(e)] = e
	}
	next := make([][]discoveryv1.Endpoint, len(have))
	for i, slice := range have {
		next[i] = keep(slice.Endpoints, wanted)
	}
	rest := remaining(g.endpoints, wanted)
	for i := range next {
		room := min(len(rest), max(0, mostEndpoints-len(next[i])))
		next[i], rest = append(next[i], rest[:room]...), rest[room:]
	}
	used := 0
	for i, slice := range have {
		if len(next[i]) == 0 && (used > 0 || len(g.endpoints) > 0 || i < len(have)-1) {
			c.remove = append(c.remove, slice)
			continue
		}
		used++
		if changed, is := revised(s, g, slice, next[i], at); is {
			c.update = append(c.update, changed)
		}
	}
	for len(rest) > 0 || used == 0 {
		part := rest[:min(len(rest), mostEndpoints)]
		rest, used = rest[len(part):], used+1
		c.create = append(c.create, newSlice(s, g, part, at))
	}
}

// identity tells whether two endpoints are the same pod's.
func identity(e discoveryv1.Endpoint) string {
	if e.TargetRef == nil {
		return e.Addresses[0]
	}
	return string(e.TargetRef.UID) + "/" + e.Addresses[0]
}

// keep are the endpoints of a slice that are still wanted, as they are now; they are then wanted no more.
func keep(old []discoveryv1.Endpoint, wanted map[string]discoveryv1.Endpoint) []discoveryv1.Endpoint {
	var kept []discoveryv1.Endpoint
	for _, e := range old {
		if now, is := wanted[identity(e)]; is {
			kept = append(kept, now)
			delete(wanted, identity(e))
		}
	}
	return kept
}

func remaining(all []discoveryv1.Endpoint, wanted map[string]discoveryv1.Endpoint) []discoveryv1.Endpoint {
	var rest []discoveryv1.Endpoint
	for _, e := range all {
		if _, is := wanted[identity(e)]; is {
			rest = append(rest, e)
		}
	}
	return rest
}

// revised is a slice with new endpoints, if anything of it has changed.
func revised(s *corev1.Service, g *group, old *discoveryv1.EndpointSlice, endpoints []discoveryv1.Endpoint, at time.Time) (*discoveryv1.EndpointSlice, bool) {
	want := labelsOf(s)
	if equality.Semantic.DeepEqual(old.Endpoints, endpoints) && equality.Semantic.DeepEqual(old.Ports, g.ports) && maps.Equal(old.Labels, want) {
		return nil, false
	}
	next := old.DeepCopy()
	next.Endpoints, next.Ports, next.Labels = endpoints, g.ports, want
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, corev1.EndpointsLastChangeTriggerTime, at.UTC().Format(time.RFC3339Nano))
	return next, true
}

func newSlice(s *corev1.Service, g *group, endpoints []discoveryv1.Endpoint, at time.Time) *discoveryv1.EndpointSlice {
	owner := metav1.NewControllerRef(s, corev1.SchemeGroupVersion.WithKind("Service"))
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: s.Name + "-", Namespace: s.Namespace, Labels: labelsOf(s), OwnerReferences: []metav1.OwnerReference{*owner},
			Annotations: map[string]string{corev1.EndpointsLastChangeTriggerTime: at.UTC().Format(time.RFC3339Nano)},
		},
		AddressType: g.family, Ports: g.ports, Endpoints: append([]discoveryv1.Endpoint{}, endpoints...),
	}
}

// labelsOf are the Service's own and those by which slices are found.
func labelsOf(s *corev1.Service) map[string]string {
	all := maps.Clone(s.Labels)
	if all == nil {
		all = map[string]string{}
	}
	delete(all, corev1.IsHeadlessService)
	all[discoveryv1.LabelServiceName], all[discoveryv1.LabelManagedBy] = s.Name, managedBy
	if backends.Headless(s) {
		all[corev1.IsHeadlessService] = ""
	}
	return all
}
