package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dhow/container"
)

func newExecCommand(env *environment) *cobra.Command {
	var interactive, tty bool
	var variables []string
	cmd := &cobra.Command{
		Use:   "exec CONTAINER COMMAND [ARG...]",
		Short: "Run a command in a container on this node",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			engine, err := openEngine(env)
			if err != nil {
				return err
			}
			found, err := findContainer(cmd.Context(), engine, args[0])
			if err != nil {
				return err
			}
			options := container.ExecOptions{Command: args[1:], Env: variables}
			options.Stdout, options.Stderr, options.TTY = env.Stdout, env.Stderr, tty
			if interactive {
				options.Stdin = env.Stdin
			}
			return runExec(cmd.Context(), engine, found.Id, options)
		},
	}
	cmd.Flags().SetInterspersed(false)
	cmd.Flags().BoolVarP(&interactive, "interactive", "i", false, "pass this program's input on")
	cmd.Flags().BoolVarP(&tty, "tty", "t", false, "give the command a terminal")
	cmd.Flags().StringSliceVarP(&variables, "env", "e", nil, "environment variable for the command, KEY=value")
	return cmd
}

// runExec exits as the command did.
func runExec(ctx context.Context, engine *container.Engine, id string, options container.ExecOptions) error {
	if options.TTY {
		restore, sizes, err := rawTerminal(ctx)
		if err != nil {
			return err
		}
		defer restore()
		options.Resize = sizes
	}
	code, err := engine.Exec(ctx, id, options)
	var start *container.ExecError
	if errors.As(err, &start) {
		_, _ = options.Stderr.Write([]byte(start.Message + "\n"))
		return exitStatus(start.Code)
	}
	if err != nil {
		return err
	}
	if code != 0 {
		return exitStatus(code)
	}
	return nil
}

// rawTerminal hands keys on as they are typed, and sizes as they change, until restore.
func rawTerminal(ctx context.Context) (restore func(), sizes <-chan container.TerminalSize, err error) {
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return nil, nil, errors.New("-t: the input is not a terminal")
	}
	old, err := term.MakeRaw(fd)
	if err != nil {
		return nil, nil, err
	}
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, syscall.SIGWINCH)
	out := make(chan container.TerminalSize, 1)
	tell := func() {
		if width, height, err := term.GetSize(fd); err == nil {
			select {
			case out <- container.TerminalSize{Width: uint16(width), Height: uint16(height)}:
			default: // the one before has not been taken yet
			}
		}
	}
	tell()
	ctx, stop := context.WithCancel(ctx)
	go func() {
		for {
			select {
			case <-changes:
				tell()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		stop()
		signal.Stop(changes)
		_ = term.Restore(fd, old)
	}, out, nil
}
