//go:build !nocluster

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dhow/assemble"
)

// serverFlags are the flags of dhow server as the user types them.
type serverFlags struct {
	config            string
	nodeName, nodeIP  string
	bind, advertise   string
	port, kubeletPort int
	tlsSANs           []string
	clusterCIDR       string
	serviceCIDR       string
	clusterDNS        string
	clusterDomain     string
	nodePorts         string
	labels, taints    []string
	maxPods           int
	debug             bool
	access            accessFlags
	admission         admissionFlags
	api               apiFlags
	runtime           runtimeFlags
}

func newServerCommand(env *environment) *cobra.Command {
	f := &serverFlags{}
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the control plane and this machine as its node",
		Long: `Run the control plane and this machine as its node, in the foreground, until SIGTERM or SIGINT.

Containers go on when the server ends or is killed; the next server takes them over. 'dhow reset' removes
everything. Each flag can stand in the configuration file as well, under its name without the dashes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := readConfigFile(cmd.Flags(), f.config, env.path("etc/dhow/config.yaml")); err != nil {
				return err
			}
			config, err := f.serverConfig(env)
			if err != nil {
				return err
			}
			config.Access = f.access.access(cmd.Flags())
			if config.Admission, err = f.admission.config(); err != nil {
				return err
			}
			return runServer(cmd.Context(), config)
		},
	}
	f.register(cmd.Flags())
	return cmd
}

func runServer(ctx context.Context, config assemble.ServerConfig) error {
	if os.Geteuid() != 0 {
		return errors.New("server must run as root: it makes namespaces, mounts and cgroups (try sudo)")
	}
	return assemble.RunServer(ctx, config)
}

func (f *serverFlags) register(flags *pflag.FlagSet) {
	flags.StringVarP(&f.config, "config", "c", "", "configuration file (default /etc/dhow/config.yaml under --root, if it exists)")
	flags.StringVar(&f.nodeName, "node-name", "", "name of this node (default: the host's name)")
	flags.StringVar(&f.nodeIP, "node-ip", "", "address of this node (default: that of the default route's link)")
	flags.StringVar(&f.bind, "bind-address", "0.0.0.0", "address that the API server listens on")
	flags.StringVar(&f.advertise, "advertise-address", "", "address at which pods reach the API server (default: the node's)")
	flags.IntVar(&f.port, "https-listen-port", 6443, "port of the API server")
	flags.IntVar(&f.kubeletPort, "kubelet-port", 10250, "port of the node's own API")
	flags.StringSliceVar(&f.tlsSANs, "tls-san", nil, "further host name or address for the server's certificate")
	flags.StringVar(&f.clusterCIDR, "cluster-cidr", "10.42.0.0/16", "addresses of pods; for dual-stack two, with a comma")
	flags.StringVar(&f.serviceCIDR, "service-cidr", "10.43.0.0/16", "addresses of services; for dual-stack two, with a comma")
	flags.StringVar(&f.clusterDNS, "cluster-dns", "", "address of the DNS service (default: the tenth of --service-cidr)")
	flags.StringVar(&f.clusterDomain, "cluster-domain", "cluster.local", "domain of the cluster's names")
	flags.StringVar(&f.nodePorts, "service-node-port-range", "30000-32767", "ports of NodePort services")
	flags.StringSliceVar(&f.labels, "node-label", nil, "label for this node when it registers, key=value")
	flags.StringSliceVar(&f.taints, "node-taint", nil, "taint for this node when it registers, key=value:effect")
	flags.IntVar(&f.maxPods, "max-pods", 250, "most pods on this node")
	flags.BoolVar(&f.debug, "debug", false, "log more")
	f.access.register(flags)
	f.admission.register(flags)
	f.api.register(flags)
	f.runtime.register(flags)
}

// serverConfig checks what the user typed and turns it into assemble's terms.
func (f *serverFlags) serverConfig(env *environment) (assemble.ServerConfig, error) {
	local, err := env.local(f.debug)
	if err != nil {
		return assemble.ServerConfig{}, err
	}
	p := flagParser{}
	c := assemble.ServerConfig{
		Local:            local,
		Root:             env.Root,
		NodeName:         strings.ToLower(f.nodeName),
		NodeIP:           p.addr("node-ip", f.nodeIP),
		BindAddress:      p.addr("bind-address", f.bind),
		AdvertiseAddress: p.addr("advertise-address", f.advertise),
		Port:             p.port("https-listen-port", f.port),
		KubeletPort:      p.port("kubelet-port", f.kubeletPort),
		TLSSANs:          f.tlsSANs,
		ClusterCIDRs:     p.prefixes("cluster-cidr", f.clusterCIDR),
		ServiceCIDRs:     p.prefixes("service-cidr", f.serviceCIDR),
		ClusterDNS:       p.addr("cluster-dns", f.clusterDNS),
		ClusterDomain:    f.clusterDomain,
		NodePorts:        p.portRange("service-node-port-range", f.nodePorts),
		NodeLabels:       p.labels("node-label", f.labels),
		NodeTaints:       p.taints("node-taint", f.taints),
		MaxPods:          f.maxPods,
		Operations:       f.api.operations(&p),
		Runtime:          f.runtime.config(&p),
		Progress:         env.Stderr,
	}
	if c.NodeName == "" {
		host, err := os.Hostname()
		if err != nil {
			return c, fmt.Errorf("find this host's name (or set --node-name): %w", err)
		}
		c.NodeName = strings.ToLower(host)
	}
	return c, p.err()
}
