package cli

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"

	"dhow/engine"
	"dhow/engine/flagtext"
)

func (f *containerFlags) registerNetwork(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&f.publish, "publish", "p", nil, "publish a port, [[IP:]HOST:]CONTAINER[/udp]")
	fs.BoolVarP(&f.publishAll, "publish-all", "P", false, "publish all exposed ports to free ones of the host")
	fs.StringArrayVar(&f.expose, "expose", nil, "expose a port or a range")
	fs.StringArrayVar(&f.networks, "network", nil, "none, host, bridge, container:NAME or a network's name")
	fs.StringArrayVar(&f.networks, "net", nil, "the same as --network")
	_ = fs.MarkHidden("net")
	fs.StringArrayVar(&f.aliases, "network-alias", nil, "further name of the container in its network")
	fs.StringVar(&f.ip, "ip", "", "IPv4 address in its network")
	fs.StringVar(&f.ip6, "ip6", "", "IPv6 address in its network")
	fs.StringVar(&f.mac, "mac-address", "", "MAC address in its network")
	fs.StringVarP(&f.hostname, "hostname", "h", "", "host name in the container")
	fs.StringVar(&f.domainname, "domainname", "", "domain name in the container")
	fs.StringArrayVar(&f.dns, "dns", nil, "DNS server")
	fs.StringArrayVar(&f.dnsSearch, "dns-search", nil, "DNS search domain")
	fs.StringArrayVar(&f.dnsOptions, "dns-option", nil, "DNS option")
	fs.StringArrayVar(&f.hosts, "add-host", nil, "line of /etc/hosts, NAME:ADDRESS; the address may be host-gateway")
	fs.StringArrayVar(&f.linkLocal, "link-local-ip", nil, "")
	fs.StringArrayVar(&f.links, "link", nil, "")
}

func (f *containerFlags) network(spec *engine.Spec, p *problems) {
	for _, text := range f.publish {
		ports, err := flagtext.Publish(text)
		p.add(err)
		spec.Ports = append(spec.Ports, ports...)
	}
	for _, text := range f.expose {
		ports, err := flagtext.Expose(text)
		p.add(err)
		spec.Exposed = append(spec.Exposed, ports...)
	}
	for _, text := range f.hosts {
		host, err := flagtext.Host(text)
		p.add(err)
		spec.ExtraHosts = append(spec.ExtraHosts, host)
	}
	for _, server := range f.dns {
		if _, err := netip.ParseAddr(server); err != nil {
			p.add(fmt.Errorf("%s is not an ip address", server))
		}
	}
	f.endpoints(spec, p)
}

// endpoints are the networks; the address, the MAC and the aliases are for the first.
func (f *containerFlags) endpoints(spec *engine.Spec, p *problems) {
	networks := f.networks
	if len(networks) == 0 {
		networks = []string{"bridge"}
	}
	spec.NetworkMode = networks[0]
	if spec.NetworkMode == "default" {
		spec.NetworkMode = "bridge"
	}
	special := spec.NetworkMode == "none" || spec.NetworkMode == "host" || strings.HasPrefix(spec.NetworkMode, "container:")
	if special {
		if len(networks) > 1 || len(f.aliases) > 0 || f.ip != "" || f.ip6 != "" || f.mac != "" {
			p.add(fmt.Errorf("conflicting options: network %s goes with no other network, address or alias", spec.NetworkMode))
		}
		if strings.HasPrefix(spec.NetworkMode, "container:") {
			f.joined(p)
		}
		return
	}
	for i, name := range networks {
		e, err := endpoint(name)
		p.add(err)
		if i == 0 {
			spec.NetworkMode = e.Network
			e.Aliases = append(e.Aliases, f.aliases...)
			p.address(&e, f.ip, f.ip6, f.mac)
		}
		spec.Networks = append(spec.Networks, e)
	}
}

// joined refuses what belongs to the container whose network is shared.
func (f *containerFlags) joined(p *problems) {
	for flag, set := range map[string]bool{
		"hostname": f.hostname != "", "publish": len(f.publish) > 0, "publish-all": f.publishAll, "expose": len(f.expose) > 0,
		"dns": len(f.dns) > 0, "dns-search": len(f.dnsSearch) > 0, "dns-option": len(f.dnsOptions) > 0, "add-host": len(f.hosts) > 0,
	} {
		if set {
			p.add(fmt.Errorf("conflicting options: --%s and the network mode container:NAME", flag))
		}
	}
}

func (p *problems) address(e *engine.Endpoint, ip, ip6, mac string) {
	if ip != "" {
		a, err := netip.ParseAddr(ip)
		if err != nil || !a.Is4() {
			p.add(fmt.Errorf("invalid IPv4 address: %s", ip))
		}
		e.IP = a
	}
	if ip6 != "" {
		a, err := netip.ParseAddr(ip6)
		if err != nil || !a.Is6() {
			p.add(fmt.Errorf("invalid IPv6 address: %s", ip6))
		}
		e.IP6 = a
	}
	if mac != "" {
		if _, err := net.ParseMAC(mac); err != nil {
			p.add(fmt.Errorf("%s is not a valid mac address", mac))
		}
		e.MAC = mac
	}
}

// endpoint reads --network: NAME, or name=NAME,alias=…,ip=….
func endpoint(text string) (engine.Endpoint, error) {
	if !strings.Contains(text, "=") {
		return engine.Endpoint{Network: text}, nil
	}
	var e engine.Endpoint
	p := &problems{}
	for field := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "name":
			e.Network = value
		case "alias":
			e.Aliases = append(e.Aliases, value)
		case "ip":
			p.address(&e, value, "", "")
		case "ip6":
			p.address(&e, "", value, "")
		case "mac-address":
			p.address(&e, "", "", value)
		default:
			p.add(fmt.Errorf("invalid field %s in --network %q (there are: name, alias, ip, ip6, mac-address)", key, text))
		}
	}
	return e, p.err()
}
