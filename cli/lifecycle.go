package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"dhow/container"
	"dhow/engine"
	"dhow/engine/flagtext"
)

// atOnce is how many containers a command works on at a time.
const atOnce = 16

// forEach does one thing to each container that is named, to several at a time, prints the names of those that it worked
// for in their order, and tells what went wrong with the others.
func forEach(env *environment, refs []string, do func(*engine.Service, string) error) error {
	service, _, err := openService(env)
	if err != nil {
		return err
	}
	results := make([]chan error, len(refs))
	for i := range results {
		results[i] = make(chan error, 1)
	}
	places := make(chan struct{}, atOnce)
	go func() {
		for i, ref := range refs {
			places <- struct{}{}
			go func() {
				results[i] <- do(service, ref)
				<-places
			}()
		}
	}()
	var failed error
	for i, ref := range refs {
		if err := <-results[i]; err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		fmt.Fprintln(env.Stdout, ref)
	}
	return failed
}

// simple is a command that does one thing to each of its arguments.
func simple(env *environment, use, short string, do func(context.Context, *engine.Service, string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return forEach(env, args, func(s *engine.Service, ref string) error { return do(cmd.Context(), s, ref) })
		},
	}
}

func newStartCommand(env *environment) *cobra.Command {
	var attach, interactive, all bool
	var keys string
	var filters []string
	cmd := &cobra.Command{
		Use:   "start [flags] CONTAINER...",
		Short: "Start containers that do not run",
		Long: `Start containers that do not run.

There is no daemon: after a reboot 'dhow start --all --filter restart-policy=always' starts what should be.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && !all {
				return usageError{errors.New("a CONTAINER is needed, or --all")}
			}
			if attach || interactive {
				if len(args) != 1 {
					return errors.New("you cannot start and attach multiple containers at once")
				}
				return startAttached(context.WithoutCancel(cmd.Context()), env, args[0], interactive, keys)
			}
			if all {
				var err error
				if args, err = startable(cmd.Context(), env, filters); err != nil {
					return err
				}
			}
			return forEach(env, args, func(s *engine.Service, ref string) error { return s.Start(cmd.Context(), ref) })
		},
	}
	cmd.Flags().BoolVarP(&attach, "attach", "a", false, "attach stdout and stderr, and pass signals on")
	cmd.Flags().BoolVarP(&interactive, "interactive", "i", false, "attach stdin")
	cmd.Flags().StringVar(&keys, "detach-keys", defaultDetachKeys, "keys that detach from the container")
	cmd.Flags().BoolVar(&all, "all", false, "all containers that do not run")
	cmd.Flags().StringArrayVar(&filters, "filter", nil, "with --all: those that pass, such as restart-policy=always")
	return cmd
}

// startable are the containers of start --all.
func startable(ctx context.Context, env *environment, filters []string) ([]string, error) {
	service, _, err := openService(env)
	if err != nil {
		return nil, err
	}
	pass, err := containerFilter(service, filters)
	if err != nil {
		return nil, err
	}
	list, err := service.List(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range list {
		policy := c.Spec.Extra.Restart.Policy
		if !c.Alive() && pass(c) && !(policy == container.RestartUnlessStopped && c.State.Stopped) {
			names = append(names, c.Name)
		}
	}
	return names, nil
}

func startAttached(ctx context.Context, env *environment, ref string, interactive bool, keys string) error {
	service, _, err := openService(env)
	if err != nil {
		return err
	}
	c, err := service.Get(ctx, ref)
	if err != nil {
		return err
	}
	if c.Alive() {
		return fmt.Errorf("container %s is running already", ref)
	}
	what := map[string]bool{"stdin": interactive && c.Spec.Stdin, "stdout": true, "stderr": true}
	code, err := runAttached(ctx, env, service, c, attachOptions{streams: what, keys: keys, proxy: true})
	if err == nil && code != 0 {
		return exitStatus(code)
	}
	return err
}

// stopFlags are those of stop and restart.
func stopFlags(cmd *cobra.Command) func() (engine.Stopping, error) {
	fs := cmd.Flags()
	seconds := fs.IntP("time", "t", 10, "seconds to wait before killing; -1: no limit")
	more := fs.Int("timeout", 10, "the same as --time")
	signal := fs.StringP("signal", "s", "", "signal to send first (default: the container's stop signal)")
	_ = fs.MarkHidden("timeout")
	return func() (engine.Stopping, error) {
		how := engine.Stopping{Signal: *signal}
		if fs.Changed("timeout") {
			seconds = more
		}
		if fs.Changed("timeout") || fs.Changed("time") {
			d := time.Duration(*seconds) * time.Second
			how.Timeout = &d
		}
		if *signal == "" {
			return how, nil
		}
		sig, err := flagtext.Signal(*signal)
		how.Signal = strconv.Itoa(int(sig))
		return how, err
	}
}

func newStopCommand(env *environment) *cobra.Command {
	var how func() (engine.Stopping, error)
	cmd := simple(env, "stop [flags] CONTAINER...", "Stop containers", func(ctx context.Context, s *engine.Service, ref string) error {
		h, err := how()
		if err != nil {
			return err
		}
		return s.Stop(ctx, ref, h)
	})
	how = stopFlags(cmd)
	return cmd
}

func newRestartCommand(env *environment) *cobra.Command {
	var how func() (engine.Stopping, error)
	cmd := simple(env, "restart [flags] CONTAINER...", "Stop containers and start them again", func(ctx context.Context, s *engine.Service, ref string) error {
		h, err := how()
		if err != nil {
			return err
		}
		return s.Restart(ctx, ref, h)
	})
	how = stopFlags(cmd)
	return cmd
}

func newKillCommand(env *environment) *cobra.Command {
	var signal string
	cmd := simple(env, "kill [flags] CONTAINER...", "Kill containers, or send them a signal", func(ctx context.Context, s *engine.Service, ref string) error {
		sig, err := flagtext.Signal(signal)
		if err != nil {
			return err
		}
		return s.Signal(ctx, ref, sig)
	})
	cmd.Flags().StringVarP(&signal, "signal", "s", "KILL", "signal to send, by name or number")
	return cmd
}

func newRmCommand(env *environment) *cobra.Command {
	var force, volumes, link bool
	cmd := simple(env, "rm [flags] CONTAINER...", "Remove containers", func(ctx context.Context, s *engine.Service, ref string) error {
		if link {
			return errors.New("--link: there are no links; networks have names for containers")
		}
		err := s.Remove(ctx, ref, force, volumes)
		var gone *engine.NotFoundError
		if force && errors.As(err, &gone) {
			fmt.Fprintf(env.Stderr, "dhow: %v\n", err)
			return nil
		}
		return err
	})
	cmd.Flags().BoolVarP(&force, "force", "f", false, "also containers that run")
	cmd.Flags().BoolVarP(&volumes, "volumes", "v", false, "with their anonymous volumes")
	cmd.Flags().BoolVarP(&link, "link", "l", false, "")
	_ = cmd.Flags().MarkHidden("link")
	return cmd
}

func newPauseCommand(env *environment) *cobra.Command {
	return simple(env, "pause CONTAINER...", "Freeze all processes of containers", func(ctx context.Context, s *engine.Service, ref string) error {
		return s.Pause(ctx, ref)
	})
}

func newUnpauseCommand(env *environment) *cobra.Command {
	return simple(env, "unpause CONTAINER...", "Let the processes of paused containers go on", func(ctx context.Context, s *engine.Service, ref string) error {
		return s.Unpause(ctx, ref)
	})
}

func newWaitCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "wait CONTAINER...", Short: "Wait for containers to end, and print their exit codes", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			var failed error
			for _, ref := range args {
				code, err := service.Wait(cmd.Context(), ref)
				if err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				fmt.Fprintln(env.Stdout, code)
			}
			return failed
		},
	}
}

func newRenameCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "rename CONTAINER NAME", Short: "Give a container another name", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			return service.Rename(cmd.Context(), args[0], args[1])
		},
	}
}
