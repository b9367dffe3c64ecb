package network

import (
	"log/slog"
	"net/netip"
)

// Config of a Network. New touches nothing; Run makes the node's own objects and repairs them.
type Config struct {
	// StateDir remembers who has which address (/run/dhow/network); it is replayed after a restart.
	StateDir string
	// ClusterCIDRs are all pods' addresses, for the masquerade rule.
	ClusterCIDRs []netip.Prefix
	// Name prefixes every link, table and chain made on the host, so that several nodes share a machine;
	// at most 6 characters, "dhow" by default.
	Name string
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// Use: n.SetPodCIDRs(prefixes) once the node knows spec.podCIDRs; Attach blocks until then (or ctx ends).
// The first address of each pod CIDR is the node's own: it sits on the link "<Name>0", is the pods'
// gateway, and cluster DNS listens on it.
