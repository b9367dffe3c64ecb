package cli

import "github.com/spf13/cobra"

// containerCommands are docker's.
func containerCommands(env *environment) []*cobra.Command {
	return []*cobra.Command{
		newRunCommand(env), newCreateCommand(env), newStartCommand(env), newStopCommand(env), newRestartCommand(env), newKillCommand(env),
		newRmCommand(env), newWaitCommand(env), newPauseCommand(env), newUnpauseCommand(env), newRenameCommand(env), newAttachCommand(env),
		newPsCommand(env), newLogsCommand(env), newExecCommand(env),
	}
}
