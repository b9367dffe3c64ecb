package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dhow/assemble"
	"dhow/container"
	"dhow/engine"
	"dhow/engine/flagtext"
)

// execFlags are those of exec.
type execFlags struct {
	interactive, tty, detach, privileged bool
	env, envFiles                        []string
	workdir, user, detachKeys            string
}

func newExecCommand(env *environment) *cobra.Command {
	f := &execFlags{}
	cmd := &cobra.Command{
		Use:   "exec [flags] CONTAINER COMMAND [ARG...]",
		Short: "Run a command in a running container",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := f.options(env, args[1:])
			if err != nil {
				return err
			}
			return execIn(cmd.Context(), env, args[0], f, options)
		},
	}
	fs := cmd.Flags()
	fs.SetInterspersed(false)
	fs.BoolVarP(&f.interactive, "interactive", "i", false, "pass this program's input on")
	fs.BoolVarP(&f.tty, "tty", "t", false, "give the command a terminal")
	fs.BoolVarP(&f.detach, "detach", "d", false, "leave the command running")
	fs.StringArrayVarP(&f.env, "env", "e", nil, "environment variable for the command, KEY=value")
	fs.StringArrayVar(&f.envFiles, "env-file", nil, "file of environment variables")
	fs.StringVarP(&f.workdir, "workdir", "w", "", "working directory of the command")
	fs.StringVarP(&f.user, "user", "u", "", "user of the command, USER[:GROUP]")
	fs.BoolVar(&f.privileged, "privileged", false, "all capabilities for the command")
	fs.StringVar(&f.detachKeys, "detach-keys", defaultDetachKeys, "keys that leave the command running")
	return cmd
}

func (f *execFlags) options(env *environment, command []string) (container.ExecOptions, error) {
	variables := []string{}
	for _, path := range f.envFiles {
		lines, err := flagtext.Lines(path)
		if err != nil {
			return container.ExecOptions{}, err
		}
		variables = append(variables, lines...)
	}
	o := container.ExecOptions{Command: command, Env: slices.DeleteFunc(passEnvironment(append(variables, f.env...)), func(e string) bool { return !strings.Contains(e, "=") })}
	o.Stdout, o.Stderr, o.TTY = env.Stdout, env.Stderr, f.tty
	if f.interactive {
		o.Stdin = env.Stdin
	}
	return o, nil
}

// execIn finds the container among our own, then among those of pods.
func execIn(ctx context.Context, env *environment, ref string, f *execFlags, options container.ExecOptions) error {
	service, _, err := openService(env)
	if err != nil {
		return err
	}
	c, err := service.Get(ctx, ref)
	var missing *engine.NotFoundError
	if errors.As(err, &missing) {
		config, err := nodeConfig(env)
		if err != nil {
			return err
		}
		runtime, err := assemble.Runtime(config)
		if err != nil {
			return err
		}
		id, err := podContainers{runtime.Engine}.find(ctx, ref)
		if err != nil {
			return err
		}
		return runExec(ctx, options, func(ctx context.Context, o container.ExecOptions) (int, error) { return runtime.Exec(ctx, id, o) })
	}
	if err != nil {
		return err
	}
	if f.detach {
		return leaveExec(env, c.ID, f, options)
	}
	options.User, options.WorkingDir, options.Privileged = f.user, f.workdir, f.privileged
	return runExec(ctx, options, func(ctx context.Context, o container.ExecOptions) (int, error) { return service.Exec(ctx, c.ID, o) })
}

// runExec exits as the command did.
func runExec(ctx context.Context, options container.ExecOptions, run func(context.Context, container.ExecOptions) (int, error)) error {
	if options.TTY {
		restore, sizes, err := rawTerminal(ctx)
		if err != nil {
			return err
		}
		defer restore()
		options.Resize = sizes
	}
	code, err := run(ctx, options)
	if ctx.Err() != nil {
		return exitStatus(128 + int(syscall.SIGINT))
	}
	var start *container.ExecError
	if errors.As(err, &start) {
		return failure{start.Code, fmt.Errorf("exec failed: %w", err)}
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
		return nil, nil, errors.New("the input device is not a TTY")
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

// leaveExec runs the same command line once more, in the background and without our streams.
func leaveExec(env *environment, id string, f *execFlags, options container.ExecOptions) error {
	args := []string{os.Args[0], "--root", env.Root, "exec", "--workdir", f.workdir, "--user", f.user, fmt.Sprintf("--privileged=%v", f.privileged)}
	for _, entry := range options.Env {
		args = append(args, "--env", entry)
	}
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: append(append(args, id), options.Command...), Dir: "/", SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}
