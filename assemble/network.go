//go:build !nocluster

package assemble

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// complete fills in what the configuration leaves to the machine.
func (c *ServerConfig) complete() error {
	if len(c.ServiceCIDRs) == 0 || len(c.ClusterCIDRs) == 0 {
		return errors.New("pods and services need a network each")
	}
	if err := c.Admission.check(); err != nil {
		return err
	}
	if !c.NodeIP.IsValid() {
		ip, err := defaultAddress(c.ClusterCIDRs[0].Addr().Is4())
		if err != nil {
			return err
		}
		c.NodeIP = ip
	}
	if !c.AdvertiseAddress.IsValid() {
		c.AdvertiseAddress = c.NodeIP
	}
	if !c.ClusterDNS.IsValid() {
		c.ClusterDNS = nth(c.ServiceCIDRs[0], 10)
	}
	return nil
}

// defaultAddress is the one that packets to far away would carry; else the first that is not loopback.
func defaultAddress(v4 bool) (netip.Addr, error) {
	network, far := "udp4", "192.0.2.254:9" // RFC 5737; nothing is sent
	if !v4 {
		network, far = "udp6", "[2001:db8::1]:9"
	}
	if conn, err := net.Dial(network, far); err == nil {
		defer conn.Close()
		if local, ok := conn.LocalAddr().(*net.UDPAddr); ok {
			return local.AddrPort().Addr().Unmap(), nil
		}
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find this machine's address (or set --node-ip): %w", err)
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() && p.Addr().Is4() == v4 {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, errors.New("this machine has no address but loopback: set --node-ip")
}

// nth is the n-th address of a network.
func nth(p netip.Prefix, n int) netip.Addr {
	a := p.Masked().Addr()
	for range n {
		a = a.Next()
	}
	return a
}
