package network

import (
	"fmt"
	"log/slog"
	"net/netip"

	"dhow/network/nft"
)

// Config of a Network. New touches nothing; Run makes the node's own objects and repairs them.
type Config struct {
	// StateDir remembers who has which address (/run/dhow/network); it is replayed after a restart.
	StateDir string
	// ClusterCIDRs are all pods' addresses, for the masquerade rule. Their families are those that pods get.
	ClusterCIDRs []netip.Prefix
	// ServiceCIDRs are all services' addresses. They are routed to the node's link, so that the host's own
	// connections to services have a route and a source address in the pod network. May be empty.
	ServiceCIDRs []netip.Prefix
	// Name prefixes every link, table and chain made on the host, so that several nodes share a machine;
	// at most 6 characters, "dhow" by default.
	Name string
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// Use: n.SetPodCIDRs(ctx, prefixes) once the node knows spec.podCIDRs; Attach blocks until then (or ctx ends).
// The first address of each pod CIDR is the node's own: it sits on the link "<Name>0", is the pods'
// gateway, and cluster DNS listens on it.

// maxName leaves room for a pod's hash in the 15 characters of a link's name.
const maxName = 6

func (c Config) withDefaults() (Config, error) {
	if c.Name == "" {
		c.Name = "dhow"
	}
	if len(c.Name) > maxName {
		return c, fmt.Errorf("network name %q is longer than %d characters", c.Name, maxName)
	}
	if c.StateDir == "" {
		return c, fmt.Errorf("network %s has no state directory", c.Name)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c, nil
}

// families are those of the cluster's addresses; IPv4 if there are none.
func (c Config) families() []nft.Family {
	var families []nft.Family
	for _, f := range []nft.Family{nft.V4(), nft.V6()} {
		if len(f.Select(c.ClusterCIDRs)) > 0 {
			families = append(families, f)
		}
	}
	if len(families) == 0 {
		return []nft.Family{nft.V4()}
	}
	return families
}
