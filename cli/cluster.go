//go:build !nocluster

package cli

import "github.com/spf13/cobra"

func clusterCommands(env *environment) []*cobra.Command {
	return []*cobra.Command{
		newServerCommand(env), newKubectlCommand(env), newTokenCommand(env), newKeysCommand(env), newResetCommand(env), newSecretsEncryptCommand(env), newDemoCommand(env),
	}
}

// handOver is for the program without a cluster (nocluster.go); this one has all commands.
func handOver(*cobra.Command, *environment, []string) (int, bool) { return 0, false }
