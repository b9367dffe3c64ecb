package podspec

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"dhow/api/check"
)

// network checks names, addresses and DNS of the pod.
func (c *checker) network(at *field.Path) {
	s := c.spec
	c.hostPorts(at.Child("containers"))
	check.Listed(&c.List, at.Child("dnsPolicy"), s.DNSPolicy,
		corev1.DNSClusterFirstWithHostNet, corev1.DNSClusterFirst, corev1.DNSDefault, corev1.DNSNone)
	c.dnsConfig(at.Child("dnsConfig"))
	c.hostnameOverride(at.Child("hostnameOverride"))
	if s.Hostname != "" {
		c.Label(at.Child("hostname"), s.Hostname)
	}
	if s.Subdomain != "" {
		c.Label(at.Child("subdomain"), s.Subdomain)
	}
	for i, alias := range s.HostAliases {
		here := at.Child("hostAliases").Index(i)
		c.IP(here.Child("ip"), alias.IP)
		for j, name := range alias.Hostnames {
			c.Subdomain(here.Child("hostnames").Index(j), name)
		}
	}
}

// hostPorts: on the host's network a container's port is the host's.
func (c *checker) hostPorts(at *field.Path) {
	if !c.spec.HostNetwork {
		return
	}
	for i := range c.spec.Containers {
		for j, port := range c.spec.Containers[i].Ports {
			if (c.meta != nil || port.HostPort != 0) && port.HostPort != port.ContainerPort {
				c.Invalid(at.Index(i).Child("ports").Index(j).Child("hostPort"), port.HostPort,
					"must match `containerPort` when `hostNetwork` is true")
			}
		}
	}
}

func (c *checker) hostnameOverride(at *field.Path) {
	name := c.spec.HostnameOverride
	if name == nil {
		return
	}
	if c.spec.SetHostnameAsFQDN != nil && *c.spec.SetHostnameAsFQDN {
		c.Forbidden(at, "may not be specified when setHostnameAsFQDN is true")
	}
	if c.spec.HostNetwork {
		c.Forbidden(at, "may not be specified when hostNetwork is true")
	}
	if len(*name) > 64 {
		c.Add(field.TooLong(at, "", 64))
	}
	c.Subdomain(at, *name)
}

// What resolv.conf of a pod may hold.
const (
	maxNameservers = 3
	maxSearches    = 32
	maxSearchChars = 2048
)

func (c *checker) dnsConfig(at *field.Path) {
	config, none := c.spec.DNSConfig, c.spec.DNSPolicy == corev1.DNSNone
	if config == nil {
		if none {
			c.Required(at, "must provide `dnsConfig` when `dnsPolicy` is None")
		}
		return
	}
	if none && len(config.Nameservers) == 0 {
		c.Required(at.Child("nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None")
		return
	}
	if len(config.Nameservers) > maxNameservers {
		c.Invalid(at.Child("nameservers"), config.Nameservers, fmt.Sprintf("must not have more than %d nameservers", maxNameservers))
	}
	for i, server := range config.Nameservers {
		c.IP(at.Child("nameservers").Index(i), server)
	}
	c.searches(at.Child("searches"), config.Searches)
	for i, option := range config.Options {
		if option.Name == "" {
			c.Required(at.Child("options").Index(i), "must not be empty")
		}
	}
}

func (c *checker) searches(at *field.Path, domains []string) {
	if len(domains) > maxSearches {
		c.Invalid(at, domains, fmt.Sprintf("must not have more than %d search paths", maxSearches))
	}
	if len(strings.Join(domains, " ")) > maxSearchChars {
		c.Invalid(at, domains, fmt.Sprintf("must not have more than %d characters (including spaces) in the search list", maxSearchChars))
	}
	for i, domain := range domains {
		if domain == "." {
			continue
		}
		domain = strings.TrimSuffix(domain, ".")
		c.Each(at.Index(i), domain, validation.IsDNS1123SubdomainWithUnderscore(domain))
	}
}
