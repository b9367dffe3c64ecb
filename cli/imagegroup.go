package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

// errNoSuchImage is matched with errors.Is.
var errNoSuchImage = errors.New("No such image")

// newImageCommand is docker's group of commands for images; most are there without it, too.
func newImageCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image COMMAND",
		Short: "Manage images",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command \"image %s\"", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	list, remove := newImagesCommand(env), newRmiCommand(env)
	list.Use, list.Aliases = "ls [OPTIONS] [REPOSITORY[:TAG]]", []string{"list"}
	remove.Use, remove.Aliases = "rm [OPTIONS] IMAGE [IMAGE...]", []string{"remove"}
	cmd.AddCommand(list, remove, newPullCommand(env), newPushCommand(env), newTagCommand(env), newLoadCommand(env), newSaveCommand(env),
		newImportCommand(env), newHistoryCommand(env), newImageInspectCommand(env), newImagePruneCommand(env), newImageVerifyCommand(env))
	return cmd
}

// newImageVerifyCommand is our own: it reads all layers back.
func newImageVerifyCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Compare every layer on this node with its digest",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := openImages(env)
			if err != nil {
				return err
			}
			found, err := store.Verify(cmd.Context())
			if err != nil {
				return err
			}
			for _, d := range found {
				fmt.Fprintf(env.Stdout, "%s: %v; remove and pull again: %v\n", d.Layer, d.Err, d.Images)
			}
			if len(found) > 0 {
				return fmt.Errorf("%d layers are damaged", len(found))
			}
			fmt.Fprintln(env.Stdout, "All layers are as they were stored")
			return nil
		},
	}
}
