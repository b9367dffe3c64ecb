package cli

import "github.com/spf13/cobra"

func newTagCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
		Short: "Give an image another name",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := openImages(env)
			if err != nil {
				return err
			}
			return noSuchImage(args[0], store.Tag(cmd.Context(), args[0], args[1]))
		},
	}
}
