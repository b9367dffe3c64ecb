package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/cli/output"
	"dhow/container"
	"dhow/engine"
	"dhow/internal/crilog"
)

func newLogsCommand(env *environment) *cobra.Command {
	options := crilog.All()
	var since, until, tail string
	var details bool
	cmd := &cobra.Command{
		Use:   "logs [flags] CONTAINER",
		Short: "Print what a container has written",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if details {
				return errors.New("--details: logs have no attributes")
			}
			if err := logTimes(&options, since, until, tail); err != nil {
				return err
			}
			return printLogs(cmd.Context(), env, args[0], options)
		},
	}
	cmd.Flags().BoolVarP(&options.Follow, "follow", "f", false, "go on as more is written")
	cmd.Flags().BoolVarP(&options.Timestamps, "timestamps", "t", false, "with the time of each line")
	cmd.Flags().StringVarP(&tail, "tail", "n", "all", "only so many of the last lines")
	cmd.Flags().StringVar(&since, "since", "", "only what was written since a time, or a duration such as 10m ago")
	cmd.Flags().StringVar(&until, "until", "", "only what was written before a time")
	cmd.Flags().BoolVar(&details, "details", false, "")
	_ = cmd.Flags().MarkHidden("details")
	return cmd
}

func logTimes(o *crilog.Options, since, until, tail string) error {
	var err error
	if since != "" {
		if o.Since, err = output.ParseTime(since, time.Now()); err != nil {
			return err
		}
	}
	if until != "" {
		if o.Until, err = output.ParseTime(until, time.Now()); err != nil {
			return err
		}
	}
	if tail == "all" || tail == "" {
		return nil
	}
	if o.Tail, err = strconv.ParseInt(tail, 10, 64); err != nil {
		return fmt.Errorf("invalid argument %q for \"--tail\" flag: want a number of lines, or all", tail)
	}
	return nil
}

// printLogs splits a log into the container's two streams again.
func printLogs(ctx context.Context, env *environment, ref string, options crilog.Options) error {
	service, _, err := openService(env)
	if err != nil {
		return err
	}
	err = service.Logs(ctx, ref, options, env.Stdout, env.Stderr)
	var missing *engine.NotFoundError
	if !errors.As(err, &missing) {
		return err
	}
	pods, err := openPods(env)
	if err != nil {
		return err
	}
	id, err := pods.find(ctx, ref)
	if err != nil {
		return err
	}
	status, err := pods.runtime.ContainerStatus(ctx, id)
	if err != nil {
		return err
	}
	return printLog(ctx, env, pods.runtime, status, options)
}

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
