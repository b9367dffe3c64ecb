package proxy

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"dhow/network/nft"
)

// node is what a plan depends on beside the Service.
type node struct {
	name, zone string
	// loopback says that NodePorts answer at 127.0.0.1 too.
	loopback bool
}

// frontend is where clients send packets.
type frontend struct {
	// addr is unspecified (0.0.0.0 or ::) for a NodePort: every address of the node.
	addr     netip.Addr
	protocol byte
	port     uint16
	// inside limits it to clients in the cluster; it wins over the one for all.
	inside bool
}

// masquerade says which clients' addresses are hidden from endpoints, so that answers come back by this node.
type masquerade int

const (
	never   masquerade = iota
	outside            // clients outside the cluster
	ownHost            // clients on this machine
	always
)

// target is what becomes of a frontend's packets.
type target struct {
	pool       string
	masquerade masquerade
	// affinity is how long a client stays with its endpoint; zero: not at all.
	affinity time.Duration
}

// refusal is how packets to a frontend without endpoints end.
type refusal string

const (
	reject refusal = "reject" // the client is told
	drop   refusal = "drop"   // silently: another node has endpoints
)

// plan is what the kernel of one node must know of one Service in one address family.
type plan struct {
	frontends  map[frontend]target
	refused    map[frontend]refusal
	pools      map[string][]netip.AddrPort
	clusterIPs []netip.Addr
	// own are the endpoints' addresses on this node, which may meet themselves.
	own []netip.Addr
	// sticky says that frontends have affinity.
	sticky bool
	// sources are the only clients of a frontend.
	sources map[frontend][]netip.Prefix
	// flows are the UDP frontends with the endpoints where packets may go on going.
	flows map[frontend][]netip.AddrPort
}

// served tells whether the proxy has anything to do with a Service.
func served(svc *corev1.Service) bool {
	if _, other := svc.Labels["service.kubernetes.io/service-proxy-name"]; other {
		return false
	}
	return svc.Spec.Type != corev1.ServiceTypeExternalName && svc.Spec.ClusterIP != "" && svc.Spec.ClusterIP != corev1.ClusterIPNone
}

// planService plans one Service; list are its EndpointSlices.
func planService(svc *corev1.Service, list []*discoveryv1.EndpointSlice, self node, f nft.Family) *plan {
	p := &plan{frontends: map[frontend]target{}, refused: map[frontend]refusal{}, pools: map[string][]netip.AddrPort{},
		sources: map[frontend][]netip.Prefix{}, flows: map[frontend][]netip.AddrPort{}}
	if svc == nil || !served(svc) {
		return p
	}
	p.clusterIPs = addrs(f, append([]string{svc.Spec.ClusterIP}, svc.Spec.ClusterIPs...)...)
	p.sticky = affinity(svc) > 0
	for i := range svc.Spec.Ports {
		port := &svc.Spec.Ports[i]
		all := endpointsOf(list, port, f, self.name)
		s := portPlan{plan: p, svc: svc, port: port, family: f, usable: choose(all, self)}
		s.internal()
		s.external()
		if self.loopback && f.Bits == 32 {
			s.loopback()
		}
		s.rest(all)
	}
	return p
}

// portPlan adds one port of a Service to a plan.
type portPlan struct {
	*plan
	svc    *corev1.Service
	port   *corev1.ServicePort
	family nft.Family
	usable usable
}

// internal plans the cluster IP.
func (s portPlan) internal() {
	pool, endpoints := "cluster", s.usable.cluster
	if deref(s.svc.Spec.InternalTrafficPolicy, "") == corev1.ServiceInternalTrafficPolicyLocal {
		pool, endpoints = "local", s.usable.local
	}
	for _, ip := range s.clusterIPs {
		s.lead(s.at(ip, s.port.Port), pool, endpoints, outside)
	}
}

// external plans external IPs, load balancers' IPs and the NodePort.
func (s portPlan) external() {
	local := s.svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
	for _, at := range s.externalFrontends() {
		if !local {
			s.lead(at, "cluster", s.usable.cluster, always)
			continue
		}
		s.lead(at, "local", s.usable.local, never)
		if s.usable.any {
			// Clients in the cluster are led as if the packet had gone out to a load balancer and come back.
			at.inside = true
			s.lead(at, "cluster", s.usable.cluster, ownHost)
		}
	}
}

func (s portPlan) externalFrontends() []frontend {
	var all []frontend
	for _, ip := range addrs(s.family, s.svc.Spec.ExternalIPs...) {
		all = append(all, s.at(ip, s.port.Port))
	}
	for _, ip := range addrs(s.family, balancerIPs(s.svc)...) {
		at := s.at(ip, s.port.Port)
		all = append(all, at)
		if ranges := s.sourceRanges(); len(ranges) > 0 {
			s.sources[at] = ranges
		}
	}
	if s.port.NodePort != 0 {
		all = append(all, s.at(unspecified(s.family), s.port.NodePort))
	}
	return all
}

// loopback plans 127.0.0.1 with the NodePort: only endpoints here, since no packet from a loopback address leaves.
func (s portPlan) loopback() {
	if s.port.NodePort != 0 && len(s.usable.local) > 0 {
		s.lead(s.at(netip.AddrFrom4([4]byte{127, 0, 0, 1}), s.port.NodePort), "local", s.usable.local, always)
	}
}

// lead sends a frontend's packets to a pool, or refuses them if it is empty.
func (s portPlan) lead(at frontend, pool string, endpoints []netip.AddrPort, hide masquerade) {
	switch {
	case len(endpoints) > 0:
		name := s.poolName(pool)
		s.pools[name] = endpoints
		s.frontends[at] = target{pool: name, masquerade: hide, affinity: affinity(s.svc)}
	case at.inside:
	case s.usable.any:
		s.refused[at] = drop
	default:
		s.refused[at] = reject
	}
}

// rest notes the endpoints on this node, and where UDP packets may go.
func (s portPlan) rest(all []endpoint) {
	var serving []netip.AddrPort
	for _, e := range all {
		if e.local && !slices.Contains(s.own, e.at.Addr()) {
			s.own = append(s.own, e.at.Addr())
		}
		if e.serving {
			serving = append(serving, e.at)
		}
	}
	if protocolOf(s.port) != corev1.ProtocolUDP {
		return
	}
	for _, ip := range s.clusterIPs {
		s.flows[s.at(ip, s.port.Port)] = serving
	}
	for _, at := range s.externalFrontends() {
		s.flows[at] = serving
	}
}

func (s portPlan) at(ip netip.Addr, port int32) frontend {
	return frontend{addr: ip, protocol: protocolNumber(protocolOf(s.port)), port: uint16(port)}
}

func (s portPlan) poolName(policy string) string {
	return strings.Join([]string{s.svc.Namespace, s.svc.Name, s.port.Name, string(protocolOf(s.port)), policy}, "/")
}

// sourceRanges are the clients that the load balancer takes in this family; none means everyone.
func (s portPlan) sourceRanges() []netip.Prefix {
	var ranges []netip.Prefix
	for _, text := range s.svc.Spec.LoadBalancerSourceRanges {
		if p, err := netip.ParsePrefix(strings.TrimSpace(text)); err == nil && s.family.Has(p.Addr()) {
			ranges = append(ranges, p.Masked())
		}
	}
	return ranges
}

func affinity(svc *corev1.Service) time.Duration {
	if svc.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	seconds := int32(corev1.DefaultClientIPServiceAffinitySeconds)
	if c := svc.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil {
		seconds = deref(c.ClientIP.TimeoutSeconds, seconds)
	}
	return time.Duration(seconds) * time.Second
}

// balancerIPs are the load balancer's addresses that lead to the node itself (KEP-1860).
func balancerIPs(svc *corev1.Service) []string {
	var ips []string
	if svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return nil
	}
	for _, in := range svc.Status.LoadBalancer.Ingress {
		if in.IP != "" && deref(in.IPMode, corev1.LoadBalancerIPModeVIP) == corev1.LoadBalancerIPModeVIP {
			ips = append(ips, in.IP)
		}
	}
	return ips
}

// addrs parses the addresses of one family, each once.
func addrs(f nft.Family, texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		a, err := netip.ParseAddr(text)
		if err == nil && f.Has(a) && !slices.Contains(all, a.Unmap()) {
			all = append(all, a.Unmap())
		}
	}
	return all
}

func unspecified(f nft.Family) netip.Addr {
	if f.Bits == 32 {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func protocolOf(port *corev1.ServicePort) corev1.Protocol {
	if port.Protocol == "" {
		return corev1.ProtocolTCP
	}
	return port.Protocol
}

func protocolNumber(p corev1.Protocol) byte {
	switch p {
	case corev1.ProtocolUDP:
		return nft.UDP
	case corev1.ProtocolSCTP:
		return nft.SCTP
	default:
		return nft.TCP
	}
}
