package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/engine"
	"dhow/engine/flagtext"
	"dhow/engine/networks"
)

func newNetworkCommand(env *environment) *cobra.Command {
	remove := simple(env, "rm [flags] NETWORK...", "Remove networks", nil)
	remove.Aliases = []string{"remove"}
	force := remove.Flags().BoolP("force", "f", false, "networks that do not exist are no error")
	remove.RunE = func(_ *cobra.Command, args []string) error {
		return forEach(env, args, func(s *engine.Service, name string) error {
			err := s.RemoveNetwork(name)
			if *force && errors.Is(err, networks.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	return group("network", "Manage networks of containers", newNetworkCreateCommand(env), newNetworkListCommand(env), newInspectCommand(env, "network"),
		remove, newNetworkConnectCommand(env), newNetworkDisconnectCommand(env), newNetworkPruneCommand(env))
}

func newNetworkCreateCommand(env *environment) *cobra.Command {
	var driver, addresses string
	var subnets, gateways []string
	var internal, ipv6, attachable bool
	var labels, options []string
	cmd := &cobra.Command{
		Use: "create [flags] NETWORK", Short: "Create a bridge network, whose containers find each other by name", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			w := networks.Network{Name: args[0], Internal: internal, Labels: flagtext.Pairs(labels)}
			p := &problems{}
			if driver != "bridge" {
				p.add(fmt.Errorf("--driver %q: there is the driver bridge only", driver))
			}
			if attachable {
				p.add(errors.New("--attachable: there are no swarm networks"))
			}
			p.addressing(&w, subnets, gateways, addresses)
			if ipv6 && !w.Subnet6.IsValid() {
				w.Subnet6 = networks.LocalSubnet6()
			}
			for _, option := range options {
				if _, err := fmt.Sscanf(option, "mtu=%d", &w.MTU); err != nil {
					p.add(fmt.Errorf("--opt %q: there is mtu=N only", option))
				}
			}
			if err := p.err(); err != nil {
				return err
			}
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			made, err := service.CreateNetwork(w)
			if err != nil {
				return err
			}
			fmt.Fprintln(env.Stdout, made.ID)
			return nil
		},
	}
	cmd.Flags().StringVarP(&driver, "driver", "d", "bridge", "driver of the network")
	cmd.Flags().StringArrayVar(&subnets, "subnet", nil, "its addresses, such as 10.9.0.0/24; given twice, one of each family")
	cmd.Flags().StringArrayVar(&gateways, "gateway", nil, "the bridge's own address")
	cmd.Flags().StringVar(&addresses, "ip-range", "", "the part of the subnet that containers' addresses come from")
	cmd.Flags().BoolVar(&internal, "internal", false, "it leads nowhere else")
	cmd.Flags().BoolVar(&ipv6, "ipv6", false, "addresses of IPv6, too")
	cmd.Flags().BoolVar(&attachable, "attachable", false, "")
	_ = cmd.Flags().MarkHidden("attachable")
	cmd.Flags().StringArrayVar(&labels, "label", nil, "label, KEY=value")
	cmd.Flags().StringArrayVarP(&options, "opt", "o", nil, "mtu=N")
	return cmd
}

// addressing sorts subnets and gateways by their families.
func (p *problems) addressing(w *networks.Network, subnets, gateways []string, addresses string) {
	for _, text := range subnets {
		of := &w.Subnet
		subnet := p.prefix("subnet", text)
		if subnet.Addr().Is6() {
			of = &w.Subnet6
		}
		if of.IsValid() {
			p.add(fmt.Errorf("--subnet %q: there is one of each family", text))
		}
		*of = subnet
	}
	for _, text := range gateways {
		a, err := netip.ParseAddr(text)
		p.add(err)
		if a.Is6() {
			w.Gateway6 = a
		} else {
			w.Gateway = a
		}
	}
	w.Range = p.prefix("ip-range", addresses)
}

func (p *problems) prefix(flag, text string) netip.Prefix {
	if text == "" {
		return netip.Prefix{}
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		p.add(fmt.Errorf("--%s %q: not a network such as 10.9.0.0/24", flag, text))
	}
	return prefix
}

func newNetworkListCommand(env *environment) *cobra.Command {
	var quiet, noTrunc bool
	var format string
	var flags []string
	cmd := &cobra.Command{
		Use: "ls [flags]", Aliases: []string{"list"}, Short: "List networks", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			parsed, err := output.ParseFilters(flags, "driver", "id", "label", "name")
			if err != nil {
				return err
			}
			list, err := service.Networks().List()
			if err != nil {
				return err
			}
			for _, name := range []string{"host", "none"} {
				w, err := findNetwork(service, name)
				if err != nil {
					return err
				}
				list = append(list, w)
			}
			f := filters{parsed}
			var rows []output.Row
			for _, w := range list {
				if !f.any("name", func(s string) bool { return strings.Contains(w.Name, s) }) || !f.any("id", func(s string) bool { return strings.HasPrefix(w.ID, s) }) ||
					!f.any("driver", func(s string) bool { return s == driverOf(w) }) || !f.Labels("label", w.Labels) {
					continue
				}
				id := w.ID
				if !noTrunc {
					id = short(id)
				}
				rows = append(rows, output.Row{"ID": id, "Name": w.Name, "Driver": driverOf(w), "Scope": "local", "Labels": joinLabels(w.Labels),
					"CreatedAt": w.Created.Format(dateFormat), "Internal": fmt.Sprint(w.Internal), "IPv6": fmt.Sprint(w.Subnet6.IsValid())})
			}
			headers := output.Row{"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE", "Labels": "LABELS", "CreatedAt": "CREATED AT", "Internal": "INTERNAL", "IPv6": "IPV6"}
			return printRows(env, format, quiet, `{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}`, headers, rows)
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "only ids")
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "whole ids")
	cmd.Flags().StringVar(&format, "format", "", "table, json, or a Go template")
	cmd.Flags().StringArrayVarP(&flags, "filter", "f", nil, "only those that pass: driver, id, label, name")
	return cmd
}

func newNetworkConnectCommand(env *environment) *cobra.Command {
	var ip, ip6, mac string
	var aliases []string
	cmd := &cobra.Command{
		Use: "connect [flags] NETWORK CONTAINER", Short: "Connect a container to a network", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := &problems{}
			e := engine.Endpoint{Network: args[0], Aliases: aliases}
			p.address(&e, ip, ip6, mac)
			if err := p.err(); err != nil {
				return err
			}
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			return service.Connect(cmd.Context(), args[1], e)
		},
	}
	cmd.Flags().StringVar(&ip, "ip", "", "IPv4 address in the network")
	cmd.Flags().StringVar(&ip6, "ip6", "", "IPv6 address in the network")
	cmd.Flags().StringVar(&mac, "mac-address", "", "MAC address in the network")
	cmd.Flags().StringArrayVar(&aliases, "alias", nil, "further name of the container in the network")
	return cmd
}

func newNetworkDisconnectCommand(env *environment) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "disconnect [flags] NETWORK CONTAINER", Short: "Disconnect a container from a network", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			err = service.Disconnect(cmd.Context(), args[1], args[0])
			var gone *engine.NotFoundError
			if force && errors.As(err, &gone) {
				return nil
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "a container that does not exist is no error")
	return cmd
}
