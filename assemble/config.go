//go:build !nocluster

package assemble

import (
	"io"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
)

// ServerConfig is what `dhow server` needs to know; the command line documents each field. All paths are absolute.
type ServerConfig struct {
	Local
	Access
	// Root is where all paths lie, for messages.
	Root string
	// NodeName is the node's name in the cluster, the host's name by default.
	NodeName string
	// NodeIP is the node's own address; the address of the default route's link when unset.
	NodeIP netip.Addr
	// BindAddress and Port are where the API server listens, AdvertiseAddress what it tells pods (NodeIP).
	BindAddress, AdvertiseAddress netip.Addr
	Port                          int
	// KubeletPort is where the node's own API listens.
	KubeletPort int
	// TLSSANs are further names and addresses in the serving certificate.
	TLSSANs []string
	// ClusterCIDRs are pods' addresses and ServiceCIDRs services', one per IP family, primary first.
	ClusterCIDRs, ServiceCIDRs []netip.Prefix
	// ClusterDNS is the address of the DNS service, the tenth of the first service CIDR when unset.
	ClusterDNS    netip.Addr
	ClusterDomain string
	// NodePorts is the first and last port of NodePort services.
	NodePorts [2]int
	// NodeLabels and NodeTaints are given to the node when it registers.
	NodeLabels map[string]string
	NodeTaints []corev1.Taint
	MaxPods    int
	// Admission chooses admission plug-ins.
	Admission AdmissionConfig
	// Runtime is what runs the node's containers.
	Runtime RuntimeConfig
	// Operations are how the API server is run.
	Operations Operations
	// Progress is told what happened, a line each.
	Progress io.Writer
}
