package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/engine"
	"dhow/engine/flagtext"
	"dhow/engine/volumes"
)

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use + " COMMAND", Short: short,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command \"%s %s\"", use, args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

func newVolumeCommand(env *environment) *cobra.Command {
	remove := simple(env, "rm [flags] VOLUME...", "Remove volumes", nil)
	force := remove.Flags().BoolP("force", "f", false, "volumes that do not exist are no error")
	remove.Aliases = []string{"remove"}
	remove.RunE = func(_ *cobra.Command, args []string) error {
		return forEach(env, args, func(s *engine.Service, name string) error {
			err := s.RemoveVolume(name)
			if *force && errors.Is(err, volumes.ErrNotFound) {
				return nil
			}
			return err
		})
	}
	return group("volume", "Manage volumes", newVolumeCreateCommand(env), newVolumeListCommand(env), newInspectCommand(env, "volume"), remove, newVolumePruneCommand(env))
}

func newVolumeCreateCommand(env *environment) *cobra.Command {
	var driver string
	var labels, options []string
	cmd := &cobra.Command{
		Use: "create [flags] [VOLUME]", Short: "Create a volume", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if driver != "local" {
				return fmt.Errorf("create volume: there is no driver %q (there is: local)", driver)
			}
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			v, err := service.CreateVolume(strings.Join(args, ""), flagtext.Pairs(labels), flagtext.Pairs(options))
			if err != nil {
				return err
			}
			fmt.Fprintln(env.Stdout, v.Name)
			return nil
		},
	}
	cmd.Flags().StringVarP(&driver, "driver", "d", "local", "driver of the volume")
	cmd.Flags().StringArrayVar(&labels, "label", nil, "label, KEY=value")
	cmd.Flags().StringArrayVarP(&options, "opt", "o", nil, "option of the driver; local has none")
	return cmd
}

func newVolumeListCommand(env *environment) *cobra.Command {
	var quiet bool
	var format string
	var flags []string
	cmd := &cobra.Command{
		Use: "ls [flags]", Aliases: []string{"list"}, Short: "List volumes", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			f, err := output.ParseFilters(flags, "dangling", "driver", "label", "name")
			if err != nil {
				return err
			}
			list, err := service.Volumes().List()
			if err != nil {
				return err
			}
			var rows []output.Row
			for _, v := range list {
				ok, err := passes(service, v, f)
				if err != nil {
					return err
				}
				if ok {
					rows = append(rows, output.Row{"Name": v.Name, "Driver": "local", "Scope": "local", "Mountpoint": v.Path, "Labels": joinLabels(v.Labels), "Size": "N/A", "Links": "N/A"})
				}
			}
			headers := output.Row{"Name": "VOLUME NAME", "Driver": "DRIVER", "Scope": "SCOPE", "Mountpoint": "MOUNTPOINT", "Labels": "LABELS", "Size": "SIZE", "Links": "LINKS"}
			return printRows(env, format, quiet, `{{.Driver}}\t{{.Name}}`, headers, rows)
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "only names")
	cmd.Flags().StringVar(&format, "format", "", "table, json, or a Go template")
	cmd.Flags().StringArrayVarP(&flags, "filter", "f", nil, "only those that pass: dangling, driver, label, name")
	return cmd
}

func passes(service *engine.Service, v *volumes.Volume, f output.Filters) (bool, error) {
	dangling, set, err := f.Bool("dangling")
	if err != nil {
		return false, err
	}
	if set {
		users, err := service.VolumeUsers(v.Name)
		if err != nil || (len(users) == 0) != dangling {
			return false, err
		}
	}
	all := filters{f}
	return all.any("name", func(s string) bool { return strings.Contains(v.Name, s) }) &&
		all.any("driver", func(s string) bool { return s == "local" }) && f.Labels("label", v.Labels), nil
}
