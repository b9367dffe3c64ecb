package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"dhow/image"
)

func isNotFound(err error) bool { return errors.Is(err, image.ErrNotFound) }

func newRmiCommand(env *environment) *cobra.Command {
	var force, noPrune bool
	cmd := &cobra.Command{
		Use:   "rmi [OPTIONS] IMAGE [IMAGE...]",
		Short: "Remove images",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := openImages(env)
			if err != nil {
				return err
			}
			var failed error
			for _, ref := range args {
				gone, err := store.Remove(cmd.Context(), ref, image.RemoveOptions{Force: force, NoPrune: noPrune})
				printRemoved(env, "Untagged", "Deleted", gone)
				switch err = noSuchImage(ref, err); {
				case err == nil:
				case force && errors.Is(err, errNoSuchImage):
					fmt.Fprintf(env.Stderr, "dhow: %v\n", err)
				default:
					failed = errors.Join(failed, err)
				}
			}
			return failed
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "also images that stopped containers use, or that have names in several repositories")
	cmd.Flags().BoolVar(&noPrune, "no-prune", false, "keep layers that no image has any more until the next sweep")
	return cmd
}

func printRemoved(env *environment, untagged, deleted string, gone image.Removed) {
	for _, name := range gone.Untagged {
		fmt.Fprintf(env.Stdout, "%s: %s\n", untagged, name)
	}
	for _, id := range gone.Deleted {
		fmt.Fprintf(env.Stdout, "%s: %s\n", deleted, id)
	}
}
