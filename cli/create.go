package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCreateCommand(env *environment) *cobra.Command {
	flags := &containerFlags{}
	cmd := &cobra.Command{
		Use:   "create [flags] IMAGE [COMMAND] [ARG...]",
		Short: "Create a container that does not run yet",
		Args:  flags.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := flags.spec(env, args)
			if err != nil {
				return failure{codeFailed, err}
			}
			_, c, err := createContainer(cmd.Context(), env, flags, spec)
			if err != nil {
				return startFailure(err)
			}
			fmt.Fprintln(env.Stdout, c.ID)
			return nil
		},
	}
	flags.register(cmd.Flags())
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return failure{codeFailed, err} })
	return cmd
}
