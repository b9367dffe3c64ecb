package backends

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Repack writes subsets of Endpoints in their canonical form: ports that have the very same addresses are in one
// subset, an address is in one list of it, and all is sorted. An address that is both ready and not is not.
func Repack(subsets []corev1.EndpointSubset) []corev1.EndpointSubset {
	byPort := map[portKey]*addresses{}
	for _, s := range subsets {
		for _, key := range portKeys(s.Ports) {
			if byPort[key] == nil {
				byPort[key] = &addresses{ready: map[addressKey]bool{}, all: map[addressKey]corev1.EndpointAddress{}}
			}
			byPort[key].add(s.Addresses, true)
			byPort[key].add(s.NotReadyAddresses, false)
		}
	}
	groups := map[string]*corev1.EndpointSubset{}
	for _, key := range slices.SortedFunc(maps.Keys(byPort), comparePorts) {
		at := byPort[key].text()
		if at == "" {
			continue // a port that nobody has
		}
		if groups[at] == nil {
			groups[at] = byPort[key].subset()
		}
		if key != noPort {
			groups[at].Ports = append(groups[at].Ports, key.port())
		}
	}
	var packed []corev1.EndpointSubset
	for _, at := range slices.Sorted(maps.Keys(groups)) {
		packed = append(packed, *groups[at])
	}
	return packed
}

type portKey struct {
	name, protocol string
	number         int32
	hasApp         bool
	app            string
}

// noPort stands for addresses without ports.
var noPort = portKey{number: -1}

func portKeys(ports []corev1.EndpointPort) []portKey {
	if len(ports) == 0 {
		return []portKey{noPort}
	}
	var keys []portKey
	for _, p := range ports {
		key := portKey{name: p.Name, protocol: string(p.Protocol), number: p.Port}
		if p.AppProtocol != nil {
			key.hasApp, key.app = true, *p.AppProtocol
		}
		keys = append(keys, key)
	}
	return keys
}

func comparePorts(a, b portKey) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.number, b.number), cmp.Compare(a.app, b.app))
}

func (k portKey) port() corev1.EndpointPort {
	p := corev1.EndpointPort{Name: k.name, Protocol: corev1.Protocol(k.protocol), Port: k.number}
	if k.hasApp {
		p.AppProtocol = &k.app
	}
	return p
}

type addressKey struct {
	ip  string
	uid types.UID
}

// addresses are those of one port.
type addresses struct {
	ready map[addressKey]bool
	all   map[addressKey]corev1.EndpointAddress
}

func (a *addresses) add(list []corev1.EndpointAddress, ready bool) {
	for _, address := range list {
		key := addressKey{ip: address.IP}
		if address.TargetRef != nil {
			key.uid = address.TargetRef.UID
		}
		if before, known := a.ready[key]; known && !before {
			continue
		}
		a.ready[key], a.all[key] = ready, address
	}
}

func (a *addresses) keys() []addressKey {
	return slices.SortedFunc(maps.Keys(a.all), func(x, y addressKey) int { return cmp.Or(compareIPs(x.ip, y.ip), cmp.Compare(x.uid, y.uid)) })
}

func compareIPs(x, y string) int {
	a, errA := netip.ParseAddr(x)
	b, errB := netip.ParseAddr(y)
	if errA != nil || errB != nil {
		return cmp.Compare(x, y)
	}
	return a.Compare(b)
}

// text is the same for the same addresses in the same states.
func (a *addresses) text() string {
	var b strings.Builder
	for _, key := range a.keys() {
		b.WriteString(key.ip + "/" + string(key.uid) + "/" + strconv.FormatBool(a.ready[key]) + ",")
	}
	return b.String()
}

func (a *addresses) subset() *corev1.EndpointSubset {
	s := &corev1.EndpointSubset{}
	for _, key := range a.keys() {
		if a.ready[key] {
			s.Addresses = append(s.Addresses, a.all[key])
		} else {
			s.NotReadyAddresses = append(s.NotReadyAddresses, a.all[key])
		}
	}
	return s
}
