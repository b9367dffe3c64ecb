package dns

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/coredns/caddy"
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/plugin"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"dhow/dns/records"
)

// defaultTTL is upstream's, in seconds; maxTTL its bound.
const (
	defaultTTL = 5
	maxTTL     = 3600
)

// setupKubernetes reads the plug-in's lines in one server block.
func setupKubernetes(c *caddy.Controller) error {
	server := running.Load()
	if server == nil {
		return plugin.Error("kubernetes", fmt.Errorf("no cluster"))
	}
	k := &cluster{server: server, view: records.View{TTL: defaultTTL, Server: server.config.ClusterIPs}}
	for i := 0; c.Next(); i++ {
		if i > 0 {
			return plugin.Error("kubernetes", plugin.ErrOnce)
		}
		if err := k.parse(c); err != nil {
			return plugin.Error("kubernetes", err)
		}
	}
	dnsserver.GetConfig(c).AddPlugin(func(next plugin.Handler) plugin.Handler {
		k.next = next
		return k
	})
	return nil
}

func (k *cluster) parse(c *caddy.Controller) error {
	k.zones = plugin.OriginsFromArgsOrServerBlock(c.RemainingArgs(), c.ServerBlockKeys)
	i := slices.IndexFunc(k.zones, func(z string) bool { return !reverse(z) })
	if i < 0 {
		return fmt.Errorf("non-reverse zone name must be used")
	}
	k.view.Domain = k.zones[i]
	shown := exposure{}
	for c.NextBlock() {
		if err := k.option(c, &shown); err != nil {
			return err
		}
	}
	k.view.Exposed = shown.predicate()
	return nil
}

func (k *cluster) option(c *caddy.Controller, shown *exposure) (err error) {
	option, args := c.Val(), c.RemainingArgs()
	switch option {
	case "pods":
		modes := map[string]records.PodMode{"disabled": records.PodsDisabled, "insecure": records.PodsInsecure, "verified": records.PodsVerified}
		if len(args) != 1 {
			return c.ArgErr()
		}
		mode, known := modes[args[0]]
		if !known {
			return fmt.Errorf("wrong value for pods: %s,  must be one of: disabled, verified, insecure", args[0])
		}
		k.view.Pods = mode
	case "endpoint_pod_names":
		k.view.PodNames = true
		return none(c, args)
	case "noendpoints":
		k.view.NoEndpoints = true
		return none(c, args)
	case "ignore":
		if len(args) != 1 || args[0] != "empty_service" {
			return fmt.Errorf("unable to parse ignore value: '%v'", args)
		}
		k.view.IgnoreEmpty = true
	case "ttl":
		return k.ttl(c, args)
	case "fallthrough":
		k.fall.SetZonesFromArgs(args)
	case "namespaces":
		if len(args) == 0 {
			return c.ArgErr()
		}
		shown.names = append(shown.names, args...)
	case "namespace_labels":
		if len(args) == 0 {
			return c.ArgErr()
		}
		shown.selector, err = selector(args)
		return err
	case "endpoint", "tls", "kubeconfig", "startup_timeout", "apiserver_qps", "apiserver_burst", "apiserver_max_inflight":
		// how to reach the API, which this process knows better
	default:
		return c.Errf("unknown property '%s'", option)
	}
	return nil
}

func none(c *caddy.Controller, args []string) error {
	if len(args) > 0 {
		return c.ArgErr()
	}
	return nil
}

func (k *cluster) ttl(c *caddy.Controller, args []string) error {
	if len(args) != 1 {
		return c.ArgErr()
	}
	seconds, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if seconds < 0 || seconds > maxTTL {
		return c.Errf("ttl must be in range [0, %d]: %d", maxTTL, seconds)
	}
	k.view.TTL = uint32(seconds)
	return nil
}

// selector parses "a=b,c!=d", which may be written with spaces.
func selector(args []string) (labels.Selector, error) {
	text := ""
	for _, a := range args {
		text += a
	}
	parsed, err := metav1.ParseToLabelSelector(text)
	if err != nil {
		return nil, fmt.Errorf("unable to parse namespace_label selector value: '%v': %w", text, err)
	}
	return metav1.LabelSelectorAsSelector(parsed)
}

// exposure says which namespaces are shown.
type exposure struct {
	names    []string
	selector labels.Selector
}

func (e exposure) predicate() func(string, map[string]string) bool {
	if e.names == nil && e.selector == nil {
		return nil
	}
	return func(namespace string, set map[string]string) bool {
		return (e.names == nil || slices.Contains(e.names, namespace)) && (e.selector == nil || e.selector.Matches(labels.Set(set)))
	}
}
