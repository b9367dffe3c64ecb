package flagtext

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"dhow/engine"
)

// Publish reads --publish: [[IP:][HOST[-HOST]]:]CONTAINER[-CONTAINER][/PROTOCOL].
func Publish(text string) ([]engine.Port, error) {
	wrong := func(why string) ([]engine.Port, error) { return nil, fmt.Errorf("invalid publish %q: %s", text, why) }
	rest, protocol, err := cutProtocol(text)
	if err != nil {
		return wrong(err.Error())
	}
	host, inside := "", rest
	if i := strings.LastIndex(rest, ":"); i >= 0 {
		host, inside = rest[:i], rest[i+1:]
	}
	var ip netip.Addr
	hostPorts := host
	if i := strings.LastIndex(host, ":"); i >= 0 {
		if ip, err = netip.ParseAddr(strings.Trim(host[:i], "[]")); err != nil {
			return wrong("invalid IP address: " + host[:i])
		}
		hostPorts = host[i+1:]
	}
	first, last, err := portRange(inside)
	if err != nil {
		return wrong("invalid containerPort: " + inside)
	}
	var hostFirst, hostLast uint16
	if hostPorts != "" {
		if hostFirst, hostLast, err = portRange(hostPorts); err != nil {
			return wrong("invalid hostPort: " + hostPorts)
		}
	}
	if hostFirst != 0 && hostLast-hostFirst != last-first && first != last {
		return wrong("invalid ranges specified for container and host Ports: " + inside + " and " + hostPorts)
	}
	var ports []engine.Port
	for n := uint32(first); n <= uint32(last); n++ {
		p := engine.Port{Protocol: protocol, Container: uint16(n), HostIP: ip}
		if hostFirst != 0 {
			p.Host = hostFirst + uint16(n) - first
			if first == last && hostLast > hostFirst {
				p.Last = hostLast
			}
		}
		ports = append(ports, p)
	}
	return ports, nil
}

// Expose reads --expose: PORT[-PORT][/PROTOCOL].
func Expose(text string) ([]engine.Port, error) {
	inside, protocol, err := cutProtocol(text)
	if err != nil {
		return nil, fmt.Errorf("invalid expose %q: %w", text, err)
	}
	first, last, err := portRange(inside)
	if err != nil {
		return nil, fmt.Errorf("invalid range format for --expose: %s", text)
	}
	var ports []engine.Port
	for n := uint32(first); n <= uint32(last); n++ {
		ports = append(ports, engine.Port{Protocol: protocol, Container: uint16(n)})
	}
	return ports, nil
}

func cutProtocol(text string) (rest, protocol string, err error) {
	rest, protocol, has := strings.Cut(text, "/")
	if !has {
		return rest, "tcp", nil
	}
	protocol = strings.ToLower(protocol)
	if protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
		return "", "", fmt.Errorf("invalid proto: %s", protocol)
	}
	return rest, protocol, nil
}

func portRange(text string) (first, last uint16, err error) {
	low, high, has := strings.Cut(text, "-")
	if !has {
		high = low
	}
	a, err := strconv.ParseUint(low, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	b, err := strconv.ParseUint(high, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	if a == 0 || a > b {
		return 0, 0, fmt.Errorf("%s is no range of ports", text)
	}
	return uint16(a), uint16(b), nil
}
