// Package records answers questions about names in a cluster's domain by the Kubernetes DNS specification
// (https://github.com/kubernetes/dns/blob/master/docs/specification.md, version 1.1.0). Its index follows single
// objects: a change of one Service or EndpointSlice costs what that object costs. It knows no server and no API.
package records

import (
	"net/netip"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Index holds what names stand for. Many may ask at once while one sets.
type Index struct {
	mu         sync.RWMutex
	namespaces map[string]map[string]string // labels
	services   map[name]*service
	endpoints  map[name]map[string][]endpoint // by EndpointSlice
	pods       map[podAddress]int             // how many pods have it
	clusterIPs map[netip.Addr]name
	addresses  map[netip.Addr]map[name]int // of endpoints: whose, and in how many slices
}

// name is a namespaced name.
type name struct{ namespace, name string }

type podAddress struct {
	namespace string
	address   netip.Addr
}

type service struct {
	addresses []netip.Addr // cluster IPs
	headless  bool
	external  string // ExternalName
	ports     []port
}

type port struct {
	name, protocol string // lower case
	number         uint16
}

type endpoint struct {
	addresses     []netip.Addr
	hostname, pod string
	ports         []port
}

// New returns an empty index.
func New() *Index {
	return &Index{
		namespaces: map[string]map[string]string{}, services: map[name]*service{}, endpoints: map[name]map[string][]endpoint{},
		pods: map[podAddress]int{}, clusterIPs: map[netip.Addr]name{}, addresses: map[netip.Addr]map[name]int{},
	}
}

// SetNamespace makes a namespace known.
func (x *Index) SetNamespace(ns *corev1.Namespace) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.namespaces[ns.Name] = ns.Labels
}

// RemoveNamespace forgets a namespace.
func (x *Index) RemoveNamespace(ns *corev1.Namespace) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.namespaces, ns.Name)
}

// SetService adds a Service or replaces what is known of it.
func (x *Index) SetService(s *corev1.Service) {
	x.mu.Lock()
	defer x.mu.Unlock()
	at := name{s.Namespace, s.Name}
	x.dropService(at)
	made := newService(s)
	x.services[at] = made
	for _, a := range made.addresses {
		x.clusterIPs[a] = at
	}
}

// RemoveService forgets a Service.
func (x *Index) RemoveService(s *corev1.Service) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dropService(name{s.Namespace, s.Name})
}

func (x *Index) dropService(at name) {
	old := x.services[at]
	if old == nil {
		return
	}
	for _, a := range old.addresses {
		if x.clusterIPs[a] == at {
			delete(x.clusterIPs, a)
		}
	}
	delete(x.services, at)
}

func newService(s *corev1.Service) *service {
	made := &service{}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		made.external = s.Spec.ExternalName
		return made
	}
	ips := s.Spec.ClusterIPs
	if len(ips) == 0 {
		ips = []string{s.Spec.ClusterIP}
	}
	made.headless = slices.Contains(ips, corev1.ClusterIPNone)
	if !made.headless {
		made.addresses = parsed(ips)
	}
	for _, p := range s.Spec.Ports {
		made.ports = append(made.ports, newPort(p.Name, p.Protocol, p.Port))
	}
	return made
}

func newPort(name string, protocol corev1.Protocol, number int32) port {
	if protocol == "" {
		protocol = corev1.ProtocolTCP
	}
	return port{strings.ToLower(name), strings.ToLower(string(protocol)), uint16(number)}
}

func parsed(texts []string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			all = append(all, a.Unmap())
		}
	}
	return all
}

// SetSlice adds an EndpointSlice or replaces what is known of it. old is its state before; nil for a new one.
func (x *Index) SetSlice(s, old *discoveryv1.EndpointSlice) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if old != nil {
		x.dropSlice(old)
	}
	x.dropSlice(s)
	at := ownerOf(s)
	if at.name == "" || s.AddressType == discoveryv1.AddressTypeFQDN {
		return
	}
	all := newEndpoints(s)
	if x.endpoints[at] == nil {
		x.endpoints[at] = map[string][]endpoint{}
	}
	x.endpoints[at][s.Name] = all
	for i := range all {
		for _, a := range all[i].addresses {
			if x.addresses[a] == nil {
				x.addresses[a] = map[name]int{}
			}
			x.addresses[a][at]++
		}
	}
}

// RemoveSlice forgets an EndpointSlice.
func (x *Index) RemoveSlice(s *discoveryv1.EndpointSlice) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dropSlice(s)
}

func ownerOf(s *discoveryv1.EndpointSlice) name {
	return name{s.Namespace, s.Labels[discoveryv1.LabelServiceName]}
}

func (x *Index) dropSlice(s *discoveryv1.EndpointSlice) {
	at := ownerOf(s)
	for _, e := range x.endpoints[at][s.Name] {
		for _, a := range e.addresses {
			if x.addresses[a][at]--; x.addresses[a][at] == 0 {
				delete(x.addresses[a], at)
			}
			if len(x.addresses[a]) == 0 {
				delete(x.addresses, a)
			}
		}
	}
	delete(x.endpoints[at], s.Name)
	if len(x.endpoints[at]) == 0 {
		delete(x.endpoints, at)
	}
}

// newEndpoints are those that are ready (a Service may publish others as if they were).
func newEndpoints(s *discoveryv1.EndpointSlice) []endpoint {
	var ports []port
	for _, p := range s.Ports {
		var n string
		protocol, number := corev1.ProtocolTCP, int32(0)
		if p.Name != nil {
			n = *p.Name
		}
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		if p.Port != nil {
			number = *p.Port
		}
		ports = append(ports, newPort(n, protocol, number))
	}
	var all []endpoint
	for i := range s.Endpoints {
		from := &s.Endpoints[i]
		if from.Conditions.Ready != nil && !*from.Conditions.Ready {
			continue
		}
		e := endpoint{addresses: parsed(from.Addresses), ports: ports}
		if from.Hostname != nil {
			e.hostname = strings.ToLower(*from.Hostname)
		}
		if from.TargetRef != nil && from.TargetRef.Kind == "Pod" {
			e.pod = strings.ToLower(from.TargetRef.Name)
		}
		all = append(all, e)
	}
	return all
}

// SetPod makes a pod's addresses known, for records that are checked against pods. old is its state before.
func (x *Index) SetPod(p, old *corev1.Pod) {
	if old != nil && slices.Equal(old.Status.PodIPs, p.Status.PodIPs) && ended(old) == ended(p) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if old != nil {
		x.countPod(old, -1)
	}
	x.countPod(p, +1)
}

// RemovePod forgets a pod.
func (x *Index) RemovePod(p *corev1.Pod) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.countPod(p, -1)
}

func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func (x *Index) countPod(p *corev1.Pod, by int) {
	if ended(p) {
		return // its address may be another's by now
	}
	for _, ip := range p.Status.PodIPs {
		a, err := netip.ParseAddr(ip.IP)
		if err != nil {
			continue
		}
		at := podAddress{p.Namespace, a.Unmap()}
		if x.pods[at] += by; x.pods[at] <= 0 {
			delete(x.pods, at)
		}
	}
}
