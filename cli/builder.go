package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dhow/assemble"
	"dhow/cli/output"
	"dhow/image/build"
)

// newBuilderCommand is docker's group for the builder.
func newBuilderCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "builder COMMAND",
		Short: "Manage the cache of builds",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command \"builder %s\"", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBuilderPruneCommand(env), newBuildCommand(env))
	return cmd
}

func newBuilderPruneCommand(env *environment) *cobra.Command {
	var force bool
	var filters []string
	var keep string
	cmd := &cobra.Command{
		Use:   "prune [OPTIONS]",
		Short: "Remove the cache of builds, and what killed builds have left",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p := &flagParser{}
			o := build.PruneOptions{Keep: uint64(p.buildBytes("keep-storage", keep))}
			for _, f := range filters {
				age, ok := strings.CutPrefix(f, "until=")
				d, err := time.ParseDuration(age)
				if !ok || err != nil {
					p.fail("filter", f, "not of the form until=24h")
				}
				o.Until = time.Now().Add(-d)
			}
			if err := p.err(); err != nil {
				return err
			}
			if !force && !askYes(env, "WARNING! This will remove the cache of builds.") {
				return nil
			}
			return pruneBuilds(cmd, env, o)
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	cmd.Flags().StringArrayVar(&filters, "filter", nil, "only what was not used for so long: until=24h")
	cmd.Flags().StringVar(&keep, "keep-storage", "", "so much may stay, such as 10g")
	return cmd
}

func pruneBuilds(cmd *cobra.Command, env *environment, o build.PruneOptions) error {
	config, err := nodeConfig(env)
	if err != nil {
		return err
	}
	builder, _, err := assemble.Builder(config)
	if err != nil {
		return err
	}
	done, err := builder.Prune(cmd.Context(), o)
	for _, step := range done.Steps {
		fmt.Fprintln(env.Stdout, step)
	}
	_, failed := fmt.Fprintf(env.Stdout, "Total:\t%s\n", output.Size(done.Bytes))
	return errors.Join(err, failed)
}
