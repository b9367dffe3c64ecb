package cli

import (
	"bufio"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/image"
)

func newImagePruneCommand(env *environment) *cobra.Command {
	var all, force bool
	var filters []string
	cmd := &cobra.Command{
		Use:   "prune [OPTIONS]",
		Short: "Remove images that nothing uses, and what interrupted pulls left",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := pruneOptions(all, filters, time.Now())
			if err != nil {
				return err
			}
			if !force && !askYes(env, pruneWarning(o.All)) {
				return nil
			}
			store, err := openImages(env)
			if err != nil {
				return err
			}
			gone, err := store.Prune(cmd.Context(), o)
			if len(gone.Untagged)+len(gone.Deleted) > 0 {
				fmt.Fprintln(env.Stdout, "Deleted Images:")
				printRemoved(env, "untagged", "deleted", gone)
				fmt.Fprintln(env.Stdout)
			}
			fmt.Fprintf(env.Stdout, "Total reclaimed space: %s\n", output.Size(gone.Bytes))
			return err
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "all images that no container uses, not only those without names")
	cmd.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	cmd.Flags().StringArrayVar(&filters, "filter", nil, "only images that match: until=24h, label=key[=value], label!=key[=value], dangling=false")
	return cmd
}

func pruneWarning(all bool) string {
	if all {
		return "WARNING! This will remove all images without at least one container associated to them."
	}
	return "WARNING! This will remove all dangling images."
}

func pruneOptions(all bool, flags []string, now time.Time) (image.PruneOptions, error) {
	f, err := output.ParseFilters(flags, "until", "label", "label!", "dangling")
	if err != nil {
		return image.PruneOptions{}, err
	}
	until, err := f.Time("until", now)
	if err != nil {
		return image.PruneOptions{}, err
	}
	dangling, set, err := f.Bool("dangling")
	if err != nil {
		return image.PruneOptions{}, err
	}
	return image.PruneOptions{All: all || set && !dangling, Until: until, Wanted: func(d *image.Details) bool {
		return f.Without(d.Spec.Config.Labels) && f.Labels("label", d.Spec.Config.Labels)
	}}, nil
}

// askYes asks a question whose answer is no unless it is y.
func askYes(env *environment, warning string) bool {
	fmt.Fprintf(env.Stdout, "%s\nAre you sure you want to continue? [y/N] ", warning)
	line, _ := bufio.NewReader(env.Stdin).ReadString('\n') // an end is a no
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes"
}
