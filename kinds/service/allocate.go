package service

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
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
	ips     map[corev1.IPFamily]*addresses
	ports   *ports
	list    func(context.Context) (*corev1.ServiceList, error)

	mu     sync.Mutex
	loaded bool
}

func newAllocator(config Config) (*allocator, error) {
	a := &allocator{ips: map[corev1.IPFamily]*addresses{}}
	if len(config.CIDRs) == 0 {
		return nil, errors.New("services need a CIDR")
	}
	for i, prefix := range config.CIDRs {
		addresses, err := newAddresses(prefix)
		if err != nil {
			return nil, err
		}
		if a.ips[addresses.family()] != nil {
			return nil, fmt.Errorf("service CIDR %s: there is another one of its IP family", prefix)
		}
		if i == 0 {
			a.primary = addresses.family()
		}
		a.ips[addresses.family()] = addresses
	}
	var err error
	a.ports, err = newPorts(config.FirstNodePort, config.LastNodePort)
	return a, err
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
	for i := range all.Items {
		// Of two that have the same number the first keeps it; what is out of range, after a change of
		// configuration, is nobody's.
		a.settle(&all.Items[i])
	}
	a.loaded = true
	return nil
}

func (a *allocator) addressesOf(s *corev1.Service) map[corev1.IPFamily][]uint64 {
	all := map[corev1.IPFamily][]uint64{}
	for family := range a.ips {
		all[family] = nil
	}
	if !needsClusterIP(s) || headless(s) {
		return all
	}
	for _, text := range s.Spec.ClusterIPs {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			continue
		}
		for family, addresses := range a.ips {
			if n, ok := addresses.number(ip.Unmap()); ok {
				all[family] = append(all[family], n)
			}
		}
	}
	return all
}

func (a *allocator) portsOf(s *corev1.Service) []uint64 {
	var all []uint64
	for _, p := range s.Spec.Ports {
		if n, ok := a.ports.number(p.NodePort); ok {
			all = append(all, n)
		}
	}
	if n, ok := a.ports.number(s.Spec.HealthCheckNodePort); ok {
		all = append(all, n)
	}
	return all
}

// settle notes what the stored Service has, and gives back what it has no more.
func (a *allocator) settle(s *corev1.Service) {
	for family, numbers := range a.addressesOf(s) {
		a.ips[family].pool.keep(s.UID, numbers...)
	}
	a.ports.pool.keep(s.UID, a.portsOf(s)...)
}

// forget gives back all that the deleted Service had.
func (a *allocator) forget(s *corev1.Service) {
	for _, addresses := range a.ips {
		addresses.pool.drop(s.UID)
	}
	a.ports.pool.drop(s.UID)
}

// allocate fills s with addresses and ports, and returns what undoes it.
func (a *allocator) allocate(ctx context.Context, s, old *corev1.Service, dry bool) (undo func(), err error) {
	if err := a.load(ctx); err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	if err := a.chooseFamilies(s, old); err != nil {
		return nil, err
	}
	if old == nil {
		old = &corev1.Service{}
	}
	c, had := claims{ports: a.ports.pool.claim(s.UID, dry, a.portsOf(old)...), ips: map[corev1.IPFamily]*claim{}}, a.addressesOf(old)
	for family, addresses := range a.ips {
		c.ips[family] = addresses.pool.claim(s.UID, dry, had[family]...)
	}
	err = a.allocateIPs(s, c)
	if err == nil {
		err = a.allocatePorts(s, c.ports)
	}
	if err != nil {
		c.undo()
		return nil, err
	}
	return c.undo, nil
}

// claims are all that one request takes.
type claims struct {
	ports *claim
	ips   map[corev1.IPFamily]*claim
}

func (c claims) undo() {
	c.ports.undo()
	for _, claim := range c.ips {
		claim.undo()
	}
}

func (a *allocator) allocateIPs(s *corev1.Service, claims claims) error {
	if !needsClusterIP(s) || headless(s) {
		return nil
	}
	at := field.NewPath("spec", "clusterIPs")
	for i, family := range s.Spec.IPFamilies {
		addresses := a.ips[family]
		if addresses == nil {
			continue
		}
		c := claims.ips[family]
		if i < len(s.Spec.ClusterIPs) && s.Spec.ClusterIPs[i] != "" {
			if err := addresses.take(c, s.Spec.ClusterIPs[i]); err != nil {
				return invalid(s, field.Invalid(at, s.Spec.ClusterIPs, fmt.Sprintf("failed to allocate IP %s: %v", s.Spec.ClusterIPs[i], err)))
			}
			continue
		}
		n, err := c.next()
		if err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate a serviceIP for Service %q: %w", s.Name, err))
		}
		ip := addresses.address(n).String()
		if i < len(s.Spec.ClusterIPs) {
			s.Spec.ClusterIPs[i] = ip
		} else {
			s.Spec.ClusterIPs = append(s.Spec.ClusterIPs, ip)
		}
	}
	if len(s.Spec.ClusterIPs) > 0 {
		s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
	}
	return nil
}

// allocatePorts takes the ports that the user chose, then one for each port that has none: ports of the same
// number and different protocols share one.
func (a *allocator) allocatePorts(s *corev1.Service, c *claim) error {
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

func (a *allocator) allocateNodePorts(s *corev1.Service, c *claim) error {
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
