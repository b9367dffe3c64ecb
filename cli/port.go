package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newPortCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "port CONTAINER [PORT[/PROTOCOL]]", Short: "List a container's published ports", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			c, err := service.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			found := false
			for _, p := range c.State.Ports {
				inside := fmt.Sprintf("%d/%s", p.Container, p.Protocol)
				switch {
				case len(args) == 1:
					fmt.Fprintf(env.Stdout, "%s -> %s\n", inside, p.Address())
				case inside == args[1] || inside == args[1]+"/tcp":
					fmt.Fprintln(env.Stdout, p.Address())
					found = true
				}
			}
			if len(args) == 2 && !found {
				return fmt.Errorf("no public port '%s' published for %s", args[1], args[0])
			}
			return nil
		},
	}
}
