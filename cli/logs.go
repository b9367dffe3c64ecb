package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/internal/crilog"
)

func newLogsCommand(env *environment) *cobra.Command {
	options := crilog.All()
	cmd := &cobra.Command{
		Use:   "logs CONTAINER",
		Short: "Print what a container on this node has written",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			engine, err := openEngine(env)
			if err != nil {
				return err
			}
			found, err := findContainer(cmd.Context(), engine, args[0])
			if err != nil {
				return err
			}
			status, err := engine.ContainerStatus(cmd.Context(), found.Id)
			if err != nil {
				return err
			}
			return printLog(cmd.Context(), env, engine, status, options)
		},
	}
	cmd.Flags().BoolVarP(&options.Follow, "follow", "f", false, "go on as more is written")
	cmd.Flags().BoolVarP(&options.Timestamps, "timestamps", "t", false, "with the time of each line")
	cmd.Flags().Int64VarP(&options.Tail, "tail", "n", -1, "only so many of the last lines")
	return cmd
}

// printLog splits a log into the container's two streams again.
func printLog(ctx context.Context, env *environment, engine *container.Engine, status *cri.ContainerStatus, options crilog.Options) error {
	if status.LogPath == "" {
		return fmt.Errorf("container %s keeps no log", short(status.Id))
	}
	options.Alive = func() bool {
		now, err := engine.ContainerStatus(ctx, status.Id)
		return err == nil && now.State == cri.ContainerState_CONTAINER_RUNNING
	}
	return crilog.Read(ctx, status.LogPath, options, env.Stdout, env.Stderr)
}
