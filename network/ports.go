package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/network/nft"
)

// hostPort is a port of the host that belongs to a pod.
type hostPort struct {
	Protocol byte `json:"protocol"` // as in the IP header
	// IP of the host, invalid for all.
	IP   netip.Addr `json:"ip,omitzero"`
	Port uint16     `json:"port"`
	// To is the pod's own port.
	To uint16 `json:"to"`
}

func (p hostPort) String() string {
	ip := "*"
	if p.IP.IsValid() {
		ip = p.IP.String()
	}
	return fmt.Sprintf("%s:%d/%s", ip, p.Port, protocolName(p.Protocol))
}

// clashes tells whether some packet would match both.
func (p hostPort) clashes(o hostPort) bool {
	if p.Protocol != o.Protocol || p.Port != o.Port {
		return false
	}
	return !p.IP.IsValid() || !o.IP.IsValid() || p.IP == o.IP
}

func protocolName(number byte) string {
	switch number {
	case nft.UDP:
		return "UDP"
	case nft.SCTP:
		return "SCTP"
	default:
		return "TCP"
	}
}

func protocolNumber(p cri.Protocol) (byte, error) {
	switch p {
	case cri.Protocol_TCP:
		return nft.TCP, nil
	case cri.Protocol_UDP:
		return nft.UDP, nil
	case cri.Protocol_SCTP:
		return nft.SCTP, nil
	default:
		return 0, fmt.Errorf("host port protocol %v is none of TCP, UDP and SCTP", p)
	}
}

// hostPorts reads the mappings that ask for a port of the host.
func hostPorts(mappings []*cri.PortMapping) ([]hostPort, error) {
	var ports []hostPort
	for _, m := range mappings {
		if m.GetHostPort() == 0 {
			continue
		}
		p, err := parsePort(m)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	return ports, nil
}

func parsePort(m *cri.PortMapping) (hostPort, error) {
	protocol, err := protocolNumber(m.GetProtocol())
	if err != nil {
		return hostPort{}, err
	}
	if m.GetHostPort() < 1 || m.GetHostPort() > 65535 || m.GetContainerPort() < 1 || m.GetContainerPort() > 65535 {
		return hostPort{}, fmt.Errorf("host port %d to container port %d is outside 1 to 65535", m.GetHostPort(), m.GetContainerPort())
	}
	p := hostPort{Protocol: protocol, Port: uint16(m.GetHostPort()), To: uint16(m.GetContainerPort())}
	if ip := strings.TrimSpace(m.GetHostIp()); ip != "" {
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			return hostPort{}, fmt.Errorf("host port %d: host address: %w", m.GetHostPort(), err)
		}
		if !addr.IsUnspecified() {
			p.IP = addr.Unmap()
		}
	}
	return p, nil
}
