package service

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// allocator gives Services their cluster IPs and node ports. What is taken is known in memory only: it is what
// the stored Services have, read before the first change. One server owns it.
//
//	BeginCreate, BeginUpdate   take what the Service needs     (undone when the write fails before it is tried)
//	AfterCreate, AfterUpdate   give back what it has no more   (only once that is stored)
//	AfterDelete                give back all
type allocator struct {
	primary corev1.IPFamily
	own     map[corev1.IPFamily]addresses // of the configuration
	plan    AddressPlan                   // may be nil
	ips     *pool[netip.Addr]
	ports   ports
	taken   *pool[int32] // ports
	list    func(context.Context) (*corev1.ServiceList, error)

	mu     sync.Mutex
	loaded bool
}

func newAllocator(config Config) (*allocator, error) {
	a := &allocator{own: map[corev1.IPFamily]addresses{}, plan: config.Plan, ips: newPool[netip.Addr](), taken: newPool[int32]()}
	if len(config.CIDRs) == 0 {
		return nil, errors.New("services need a CIDR")
	}
	for i, prefix := range config.CIDRs {
		addresses, err := newAddresses(prefix)
		if err != nil {
			return nil, err
		}
		family := addresses.family()
		if _, twice := a.own[family]; twice {
			return nil, fmt.Errorf("service CIDR %s: there is another one of its IP family", prefix)
		}
		if i == 0 {
			a.primary = family
		}
		a.own[family] = addresses
	}
	var err error
	a.ports, err = newPorts(config.FirstNodePort, config.LastNodePort)
	return a, err
}

// has says whether the cluster has Services of an IP family.
func (a *allocator) has(family corev1.IPFamily) bool {
	_, ok := a.own[family]
	return ok
}

// ranges are those of a family from which addresses may be had now: the plan's, or without one the configuration's.
func (a *allocator) ranges(family corev1.IPFamily) []addresses {
	if a.plan == nil {
		return []addresses{a.own[family]}
	}
	prefixes := a.plan.Ranges()
	if len(prefixes) == 0 { // the cluster is new
		return []addresses{a.own[family]}
	}
	var all []addresses
	for _, p := range prefixes {
		if r, err := newAddresses(p); err == nil && r.family() == family {
			all = append(all, r)
		}
	}
	return all
}

// load learns once what is taken.
func (a *allocator) load(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.loaded {
		return nil
	}
	all, err := a.list(ctx)
	if err != nil {
		return fmt.Errorf("read the addresses of services: %w", err)
	}
	for i := range all.Items { // of two that have the same number the first keeps it
		a.settle(&all.Items[i])
	}
	a.loaded = true
	return nil
}

func (a *allocator) addressesOf(s *corev1.Service) []netip.Addr {
	if !needsClusterIP(s) || headless(s) {
		return nil
	}
	var all []netip.Addr
	for _, text := range s.Spec.ClusterIPs {
		if ip, err := netip.ParseAddr(text); err == nil {
			all = append(all, ip.Unmap())
		}
	}
	return all
}

func (a *allocator) portsOf(s *corev1.Service) []int32 {
	var all []int32
	for _, p := range s.Spec.Ports {
		if a.ports.has(p.NodePort) {
			all = append(all, p.NodePort)
		}
	}
	if port := s.Spec.HealthCheckNodePort; a.ports.has(port) {
		all = append(all, port)
	}
	return all
}

// settle notes what the stored Service has, and gives back what it has no more.
func (a *allocator) settle(s *corev1.Service) {
	a.ips.keep(s.UID, a.addressesOf(s)...)
	a.taken.keep(s.UID, a.portsOf(s)...)
}

// forget gives back all that the deleted Service had.
func (a *allocator) forget(s *corev1.Service) {
	a.ips.drop(s.UID)
	a.taken.drop(s.UID)
}

// allocate fills s with addresses and ports, and returns what undoes it.
func (a *allocator) allocate(ctx context.Context, s, old *corev1.Service, dry bool) (undo func(), err error) {
	if err := a.load(ctx); err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if err := a.chooseFamilies(s, old); err != nil {
		return nil, err
	}
	uid := s.UID
	if old != nil {
		uid = old.UID // a client that replaces the Service need not know it
	} else {
		old = &corev1.Service{}
	}
	ips, ports := a.ips.claim(uid, dry, a.addressesOf(old)...), a.taken.claim(uid, dry, a.portsOf(old)...)
	undo = func() { ips.undo(); ports.undo() }
	err = a.allocateIPs(s, len(a.addressesOf(old)), ips)
	if err == nil {
		err = a.allocatePorts(s, ports)
	}
	if err != nil {
		undo()
		return nil, err
	}
	return undo, nil
}

// allocateIPs fills what is missing behind the fixed first addresses, which the Service has had; whether they were
// changed is for validation to tell.
func (a *allocator) allocateIPs(s *corev1.Service, fixed int, c *claim[netip.Addr]) error {
	if !needsClusterIP(s) || headless(s) {
		return nil
	}
	at := field.NewPath("spec", "clusterIPs")
	for i, family := range s.Spec.IPFamilies {
		if !a.has(family) {
			continue
		}
		if i < len(s.Spec.ClusterIPs) && s.Spec.ClusterIPs[i] != "" {
			if i < fixed {
				continue
			}
			if err := a.takeIP(c, family, s.Spec.ClusterIPs[i]); err != nil {
				return invalid(s, field.Invalid(at, s.Spec.ClusterIPs, fmt.Sprintf("failed to allocate IP %s: %v", s.Spec.ClusterIPs[i], err)))
			}
			continue
		}
		ip, err := a.nextIP(c, family)
		if err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate a serviceIP for Service %q: %w", s.Name, err))
		}
		if i < len(s.Spec.ClusterIPs) {
			s.Spec.ClusterIPs[i] = ip.String()
		} else {
			s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, ip.String())
		}
	}
	if len(s.Spec.ClusterIPs) > 0 {
		s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
	}
	return nil
}

// takeIP takes an address that a user chose, or that the Service has.
func (a *allocator) takeIP(c *claim[netip.Addr], family corev1.IPFamily, text string) error {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return err
	}
	ip = ip.Unmap()
	if !slices.ContainsFunc(a.ranges(family), func(r addresses) bool { return r.has(ip) }) {
		return errors.New("the provided network does not match the current range")
	}
	if a.reserved(ip) || c.take(ip) != nil {
		return errors.New("provided IP is already allocated")
	}
	return nil
}

// nextIP takes any free address.
func (a *allocator) nextIP(c *claim[netip.Addr], family corev1.IPFamily) (netip.Addr, error) {
	return c.first(func(yield func(netip.Addr) bool) {
		for _, r := range a.ranges(family) {
			for ip := range r.inAnyOrder() {
				if !a.reserved(ip) && !yield(ip) {
					return
				}
			}
		}
	})
}

func (a *allocator) reserved(ip netip.Addr) bool { return a.plan != nil && a.plan.Reserved(ip) }

// allocatePorts takes the ports that the user chose, then one for each port that has none: ports of the same
// number and different protocols share one.
func (a *allocator) allocatePorts(s *corev1.Service, c *claim[int32]) error {
	if s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer {
		if err := a.allocateNodePorts(s, c); err != nil {
			return err
		}
	}
	if !needsHealthCheck(s) {
		return nil
	}
	if chosen := s.Spec.HealthCheckNodePort; chosen != 0 {
		if err := a.ports.take(c, chosen); err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate requested HealthCheck NodePort %v: %w", chosen, err))
		}
		return nil
	}
	port, err := a.ports.next(c)
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("failed to allocate a HealthCheck NodePort: %w", err))
	}
	s.Spec.HealthCheckNodePort = port
	return nil
}

func (a *allocator) allocateNodePorts(s *corev1.Service, c *claim[int32]) error {
	byPort := map[int32]int32{}
	for i, p := range s.Spec.Ports {
		if p.NodePort == 0 {
			continue
		}
		if err := a.ports.take(c, p.NodePort); err != nil {
			return invalid(s, field.Invalid(field.NewPath("spec", "ports").Index(i).Child("nodePort"), p.NodePort, err.Error()))
		}
		byPort[p.Port] = p.NodePort
	}
	if !needsNodePort(s) {
		return nil
	}
	taken := map[portKey]bool{}
	for _, p := range s.Spec.Ports {
		taken[portKey{p.Protocol, p.NodePort}] = true
	}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		if p.NodePort != 0 {
			continue
		}
		if shared := byPort[p.Port]; shared != 0 && !taken[portKey{p.Protocol, shared}] {
			p.NodePort = shared
		} else {
			port, err := a.ports.next(c)
			if err != nil {
				return apierrors.NewInternalError(fmt.Errorf("failed to allocate a nodePort: %w", err))
			}
			p.NodePort = port
			byPort[p.Port] = port
		}
		taken[portKey{p.Protocol, p.NodePort}] = true
	}
	return nil
}

type portKey struct {
	protocol corev1.Protocol
	port     int32
}

func invalid(s *corev1.Service, errs ...*field.Error) error {
	return apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, s.Name, errs)
}
