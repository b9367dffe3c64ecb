package proxy

import (
	"errors"
	"log/slog"
	"net/netip"

	"k8s.io/client-go/informers"

	"dhow/network/nft"
)

// Config of a Proxy.
type Config struct {
	// Informers of Services, EndpointSlices and Nodes. New asks for them, so start the factory after New.
	Informers informers.SharedInformerFactory
	// NodeName tells endpoints of this node from others, and whose zone counts.
	NodeName string
	// NodePortAddresses are where NodePorts answer: the machine's addresses in these prefixes; all its
	// addresses but loopback ones if empty.
	NodePortAddresses []netip.Prefix
	// LoopbackNodePorts makes NodePorts answer at 127.0.0.1 too, for processes of this machine and endpoints on it.
	// Pods' links need route_localnet for that, which network sets along with a rule that keeps it safe.
	LoopbackNodePorts bool
	// ClusterCIDRs are all pods' addresses. Their families are those that are served.
	ClusterCIDRs []netip.Prefix
	// ServiceCIDRs are all cluster IPs.
	ServiceCIDRs []netip.Prefix
	// TableName is the nftables table, "dhow-proxy" by default. It belongs to the proxy alone.
	TableName string
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

const defaultTable = "dhow-proxy"

func (c Config) withDefaults() (Config, error) {
	if c.Informers == nil {
		return c, errors.New("service proxy has no informers")
	}
	if c.NodeName == "" {
		return c, errors.New("service proxy does not know its node's name")
	}
	if c.TableName == "" {
		c.TableName = defaultTable
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
