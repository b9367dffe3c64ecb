package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"syscall"

	"dhow/container"
	"dhow/internal/filelock"
)

// choosePorts settles which ports of the host lead to a container, and writes them into its record before another
// container can take them.
func (s *Service) choosePorts(ctx context.Context, runtime *container.Engine, c *Container) error {
	wanted := c.wantedPorts()
	if len(wanted) == 0 || !c.onBridges() {
		return nil
	}
	six, err := s.hasIPv6(c)
	if err != nil {
		return err
	}
	unlock, err := filelock.Lock(filepath.Join(s.config.StateDir, "ports.lock"), filelock.Exclusive)
	if err != nil {
		return err
	}
	defer unlock()
	taken, err := s.takenPorts(ctx, runtime, c)
	if err != nil {
		return err
	}
	for _, p := range wanted {
		chosen, err := choosePort(p, taken, six)
		if err != nil {
			c.State.Ports = nil
			return fmt.Errorf("failed to set up container networking: %w", err)
		}
		c.State.Ports, taken = append(c.State.Ports, chosen...), append(taken, chosen...)
	}
	return s.save(c)
}

// wantedPorts are those of --publish, and with --publish-all those that are exposed.
func (c *Container) wantedPorts() []Port {
	wanted := slices.Clone(c.Spec.Ports)
	if !c.Spec.PublishAll {
		return wanted
	}
	for _, p := range c.Run.Exposed {
		if !slices.ContainsFunc(wanted, func(w Port) bool { return w.Protocol == p.Protocol && w.Container == p.Container }) {
			wanted = append(wanted, p)
		}
	}
	return wanted
}

// hasIPv6 says whether the network that ports lead by has it.
func (s *Service) hasIPv6(c *Container) (bool, error) {
	for _, e := range c.endpoints() {
		w, err := s.Networks().Get(e.Network)
		if err != nil {
			return false, err
		}
		if !w.Internal {
			return w.Subnet6.IsValid(), nil
		}
	}
	return false, nil
}

// takenPorts are those of the other containers that run or are being started.
func (s *Service) takenPorts(ctx context.Context, runtime *container.Engine, c *Container) ([]Port, error) {
	list, err := s.all()
	if err != nil {
		return nil, err
	}
	var taken []Port
	for _, other := range list {
		if other.ID != c.ID && len(other.State.Ports) > 0 && s.keepsPorts(ctx, runtime, other) {
			taken = append(taken, other.State.Ports...)
		}
	}
	return taken, nil
}

// keepsPorts tells a container that has its ports from one that has ended, or whose starting was cut short.
func (s *Service) keepsPorts(ctx context.Context, runtime *container.Engine, c *Container) bool {
	if c.State.Sandbox != "" {
		now, err := s.settle(ctx, runtime, c)
		return err == nil && len(now.State.Ports) > 0
	}
	unlock, err := filelock.Lock(filepath.Join(s.dir(c.ID), lockFile), filelock.Try)
	if err != nil {
		return true // somebody is starting it
	}
	unlock()
	return false
}

// The ports from which one is chosen where the user names none (IANA's for private use, as docker's).
const firstFree, lastFree = 49153, 65535

// choosePort finds the port of the host, for each family that the user means.
func choosePort(p Port, taken []Port, six bool) ([]Port, error) {
	var at []Port
	switch {
	case !p.HostIP.IsValid():
		at = p.on(netip.IPv4Unspecified())
		if six {
			at = append(at, p.on(netip.IPv6Unspecified())...)
		}
	case p.HostIP.Is6() && !six:
		return nil, fmt.Errorf("publish %s: the container's network has no IPv6 (dhow network create --ipv6 makes one that has)", p.HostIP)
	default:
		at = p.on(p.HostIP)
	}
	first, last := int(p.Host), int(max(p.Host, p.Last))
	if p.Host == 0 {
		first, last = firstFree, lastFree
	}
	var why error
	for n := first; n <= last; n++ {
		for i := range at {
			at[i].Host, at[i].Last = uint16(n), 0
		}
		if why = free(at, taken); why == nil {
			return at, nil
		}
	}
	return nil, why
}

func (p Port) on(ip netip.Addr) []Port {
	p.HostIP = ip
	return []Port{p}
}

// free says why ports cannot be had: a container has them, or a program of the host.
func free(ports, taken []Port) error {
	for _, p := range ports {
		if slices.ContainsFunc(taken, p.clashes) {
			return fmt.Errorf("Bind for %s failed: port is already allocated", p.Address())
		}
		if err := p.bind(); err != nil {
			return fmt.Errorf("failed to bind host port %s/%s: %w", p.Address(), p.Protocol, err)
		}
	}
	return nil
}

// Address is where on the host a published port is, such as 0.0.0.0:80 or [::]:80.
func (p Port) Address() string {
	ip := netip.IPv4Unspecified()
	if p.HostIP.IsValid() {
		ip = p.HostIP
	}
	return netip.AddrPortFrom(ip, p.Host).String()
}

func (p Port) clashes(o Port) bool {
	mine, theirs := p.ip(), o.ip()
	return p.Host == o.Host && p.Protocol == o.Protocol && mine.Is4() == theirs.Is4() &&
		(mine.IsUnspecified() || theirs.IsUnspecified() || mine == theirs)
}

func (p Port) ip() netip.Addr {
	if p.HostIP.IsValid() {
		return p.HostIP
	}
	return netip.IPv4Unspecified()
}

// bind takes the port of the host for a moment.
func (p Port) bind() error {
	family := "6"
	if p.ip().Is4() {
		family = "4"
	}
	var taken interface{ Close() error }
	var err error
	switch p.Protocol {
	case "tcp":
		taken, err = net.Listen("tcp"+family, p.Address())
	case "udp":
		taken, err = net.ListenPacket("udp"+family, p.Address())
	default:
		return nil
	}
	if err == nil {
		return taken.Close()
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno // the address is told already
	}
	return err
}
