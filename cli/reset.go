//go:build !nocluster

package cli

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dhow/assemble"
)

func newResetCommand(env *environment) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "reset",
		Short: "Remove every trace of the server from this machine, data included",
		Long: `Remove every trace of the server from this machine: containers, control groups, links, nftables tables, mounts,
images, and the cluster's data. Stop the server first.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return errors.New("reset must run as root (try sudo)")
			}
			config, err := resetConfig(env)
			if err != nil {
				return err
			}
			dirs := []string{env.dataDir(), env.runDir(), env.configDir()}
			if !yes && !confirmed(env, dirs) {
				return errors.New("nothing was removed")
			}
			err = assemble.Reset(cmd.Context(), config, dirs...)
			if errors.Is(err, assemble.ErrRunning) {
				return fmt.Errorf("%w: stop it first", err)
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// confirmed asks the user.
func confirmed(env *environment, dirs []string) bool {
	fmt.Fprintf(env.Stderr, "This removes all containers and %s. Go on? [y/N] ", strings.Join(dirs, ", "))
	answer, _ := bufio.NewReader(env.Stdin).ReadString('\n')
	return strings.EqualFold(strings.TrimSpace(answer), "y")
}

// resetConfig is what is known of a server without its flags.
func resetConfig(env *environment) (assemble.ServerConfig, error) {
	f := &serverFlags{}
	f.register(pflag.NewFlagSet("defaults", pflag.ContinueOnError))
	f.nodeName = "node"
	c, err := f.serverConfig(env)
	c.NodeIP = netip.IPv4Unspecified()
	return c, err
}
