package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dhow/assemble"
	"dhow/container"
	"dhow/engine"
	"dhow/image"
)

// Exit codes of docker run, beside the container's own.
const codeFailed = 125

// failure ends the program with a code of docker's and a message.
type failure struct {
	code int
	error
}

func (f failure) Unwrap() error { return f.error }

func openService(env *environment) (*engine.Service, *image.Store, error) {
	config, err := nodeConfig(env)
	if err != nil {
		return nil, nil, err
	}
	return assemble.Standalone(config, programLine(env))
}

// programLine begins a command line of this program on the same root.
func programLine(env *environment) []string { return []string{os.Args[0], "--root", env.Root} }

func newRunCommand(env *environment) *cobra.Command {
	flags := &containerFlags{}
	var detach bool
	sigProxy := true
	cmd := &cobra.Command{
		Use:   "run [flags] IMAGE [COMMAND] [ARG...]",
		Short: "Create and run a new container from an image",
		Long: `Create and run a new container from an image, without a cluster and without a daemon.

The exit code is the container's; 125 if it could not be made, 126 or 127 if its command cannot be run or is not there.`,
		Args: flags.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := flags.spec(env, args)
			if err != nil {
				return failure{codeFailed, err}
			}
			return startFailure(runContainer(context.WithoutCancel(cmd.Context()), env, flags, spec, detach, sigProxy))
		},
	}
	flags.register(cmd.Flags())
	cmd.Flags().BoolVarP(&detach, "detach", "d", false, "run in the background and print the id")
	cmd.Flags().BoolVar(&sigProxy, "sig-proxy", true, "pass signals on to the container")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return failure{codeFailed, err} })
	return cmd
}

// args are an image and a command, or with --rootfs a command only.
func (f *containerFlags) args(_ *cobra.Command, args []string) error {
	if f.rootfs == "" && len(args) == 0 {
		return failure{codeFailed, errors.New("an IMAGE is needed: dhow run [flags] IMAGE [COMMAND] [ARG...]")}
	}
	return nil
}

// startFailure gives an error docker's exit code.
func startFailure(err error) error {
	var status exitStatus
	var start *engine.StartError
	switch {
	case err == nil || errors.As(err, &status):
		return err
	case errors.As(err, &start) && (start.Code == 126 || start.Code == 127):
		return failure{start.Code, err}
	default:
		return failure{codeFailed, err}
	}
}

// createContainer pulls the image where needed.
func createContainer(ctx context.Context, env *environment, flags *containerFlags, spec engine.Spec) (*engine.Service, *engine.Container, error) {
	service, images, err := openService(env)
	if err != nil {
		return nil, nil, err
	}
	if flags.cidfile != "" {
		if _, err := os.Stat(flags.cidfile); err == nil {
			return nil, nil, fmt.Errorf("container ID file found, make sure the other container isn't running or delete %s", flags.cidfile)
		}
	}
	if spec.Extra.RootFS == nil {
		if err := pullFor(ctx, env, images, flags, spec.Image); err != nil {
			return nil, nil, err
		}
	}
	c, err := service.Create(ctx, flags.name, spec)
	if err != nil {
		return nil, nil, err
	}
	if flags.cidfile != "" {
		if err := os.WriteFile(flags.cidfile, []byte(c.ID), env.fileMode()); err != nil {
			return nil, nil, errors.Join(err, service.Remove(ctx, c.ID, true, true))
		}
	}
	return service, c, nil
}

func pullFor(ctx context.Context, env *environment, images *image.Store, flags *containerFlags, ref string) error {
	if err := checkPlatform(flags.platform); err != nil {
		return err
	}
	found, err := images.ImageStatus(ctx, ref)
	if err != nil {
		return err
	}
	if found != nil && flags.pull != "always" {
		return nil
	}
	if flags.pull == "never" {
		return fmt.Errorf("No such image: %s", ref)
	}
	if found == nil && !flags.quiet {
		fmt.Fprintf(env.Stderr, "Unable to find image '%s' locally\n", ref)
	}
	progress := newProgress(env, flags.quiet, pullWords)
	err = pullPlatform(ctx, images, ref, flags.platform, progress.update)
	progress.end()
	return err
}

func runContainer(ctx context.Context, env *environment, flags *containerFlags, spec engine.Spec, detach, sigProxy bool) error {
	if detach && len(flags.attach) > 0 {
		return errors.New("conflicting options: cannot specify both --attach and --detach")
	}
	spec.Attached, spec.IDFile = !detach, flags.cidfile
	if detach {
		spec.StdinOnce = false
	}
	if flags.tty && flags.interactive && !detach {
		if err := needsTerminal(env); err != nil {
			return err
		}
	}
	service, c, err := createContainer(ctx, env, flags, spec)
	if err != nil {
		return err
	}
	if detach {
		if err := service.Start(ctx, c.ID); err != nil {
			return unstarted(ctx, service, c, err)
		}
		fmt.Fprintln(env.Stdout, c.ID)
		return nil
	}
	what, err := attachments(flags.attach, flags.interactive)
	if err != nil {
		return err
	}
	code, err := runAttached(ctx, env, service, c, attachOptions{streams: what, keys: flags.detachKeys, proxy: sigProxy})
	if err != nil {
		return unstarted(ctx, service, c, err)
	}
	if code != 0 {
		return exitStatus(code)
	}
	return nil
}

// unstarted removes a container of --rm that did not run.
func unstarted(ctx context.Context, service *engine.Service, c *engine.Container, why error) error {
	var start *engine.StartError
	if c.Spec.AutoRemove && errors.As(why, &start) {
		return errors.Join(why, service.Remove(ctx, c.ID, true, true))
	}
	return why
}

// attachments are the streams that --attach names; without any, the outputs, and with -i the input.
func attachments(names []string, interactive bool) (map[string]bool, error) {
	if len(names) == 0 {
		return map[string]bool{"stdin": interactive, "stdout": true, "stderr": true}, nil
	}
	what := map[string]bool{}
	for _, name := range names {
		name = strings.ToLower(name)
		if name != "stdin" && name != "stdout" && name != "stderr" {
			return nil, fmt.Errorf("invalid argument %q for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR", name)
		}
		what[name] = true
	}
	return what, nil
}

// pick gives the streams that are wanted.
func pick(env *environment, what map[string]bool, tty bool) container.Streams {
	s := container.Streams{TTY: tty}
	if what["stdin"] {
		s.Stdin = env.Stdin
	}
	if what["stdout"] {
		s.Stdout = env.Stdout
	}
	if what["stderr"] && !tty {
		s.Stderr = env.Stderr
	}
	return s
}
