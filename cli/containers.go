package cli

import (
	"context"

	"github.com/spf13/cobra"

	"dhow/assemble"
)

// containerCommands are docker's for containers, and the groups of commands.
func containerCommands(env *environment) []*cobra.Command {
	return append(verbs(env), newInspectCommand(env, ""), newEventsCommand(env), newInfoCommand(env),
		newContainerCommand(env), newVolumeCommand(env), newNetworkCommand(env), newSystemCommand(env))
}

// verbs are those that are in the group container, too.
func verbs(env *environment) []*cobra.Command {
	return []*cobra.Command{
		newRunCommand(env), newCreateCommand(env), newStartCommand(env), newStopCommand(env), newRestartCommand(env), newKillCommand(env),
		newRmCommand(env), newWaitCommand(env), newPauseCommand(env), newUnpauseCommand(env), newRenameCommand(env), newUpdateCommand(env),
		newPsCommand(env), newLogsCommand(env), newExecCommand(env), newAttachCommand(env), newTopCommand(env), newStatsCommand(env),
		newPortCommand(env), newCopyCommand(env), newDiffCommand(env), newCommitCommand(env), newExportCommand(env),
	}
}

func newContainerCommand(env *environment) *cobra.Command {
	cmd := group("container", "Manage containers", verbs(env)...)
	for _, verb := range cmd.Commands() {
		if verb.Name() == "ps" {
			verb.Use, verb.Aliases = "ls [flags]", []string{"list", "ps"}
		}
	}
	cmd.AddCommand(newInspectCommand(env, "container"), newContainerPruneCommand(env), newHealthCommand(env), newCleanupCommand(env))
	return cmd
}

// newHealthCommand is what a container with a health check has beside it while it runs.
func newHealthCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "health CONTAINER", Short: "Check the health of a container until it ends", Args: cobra.ExactArgs(1), Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			return service.CheckHealth(context.WithoutCancel(cmd.Context()), args[0])
		},
	}
}

// newCleanupCommand is what a container's shim starts at its end.
func newCleanupCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "cleanup CONTAINER", Short: "Take down the end of a container", Args: cobra.ExactArgs(1), Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := nodeConfig(env)
			if err != nil {
				return err
			}
			return assemble.CleanUp(context.WithoutCancel(cmd.Context()), config, programLine(env), args[0])
		},
	}
}
