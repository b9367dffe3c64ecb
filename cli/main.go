// Package cli is the command line: one file per subcommand, each of which turns flags into a Config and hands
// it to assemble. It is the only place that exits, reads the environment or prints to the user.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

// Main runs the command line and returns the process's exit code: 0, 1 for an error, 2 for a wrong call, or
// what a contained command returned. A program name other than dhow that is a subcommand's picks that one
// ("kubectl" as a link to dhow).
func Main(args []string) int {
	env := &environment{Root: "/", Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	var root *cobra.Command
	switch name := filepath.Base(args[0]); name {
	case "dhow-oci": // who calls an OCI runtime does not wait for other commands to be put together
		args = append([]string{"dhow", "oci"}, args[1:]...)
		root = newBareRoot(env)
		root.AddCommand(newOCICommand(env))
	case "kubectl":
		args = append([]string{"dhow", name}, args[1:]...)
		fallthrough
	default:
		root = newRootCommand(env)
	}
	if code, ok := handOver(root, env, args); ok {
		return code
	}
	env.ownUmask()
	root.SetArgs(args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := root.ExecuteContext(ctx)
	var status exitStatus
	var usage usageError
	var failed failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failed):
		fmt.Fprintf(env.Stderr, "dhow: %v\n", err)
		return failed.code
	case errors.As(err, &status):
		return int(status)
	case errors.As(err, &usage):
		fmt.Fprintf(env.Stderr, "dhow: %v\nSee 'dhow --help'.\n", err)
		return 2
	default:
		fmt.Fprintf(env.Stderr, "dhow: %v\n", err)
		return 1
	}
}

// exitStatus ends the program with a code and without a word: a contained command's own.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usageError is a call that cannot be understood; exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// newBareRoot is the root without its commands.
func newBareRoot(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "dhow",
		Short: "Containers and Kubernetes in one binary",
		Long: `dhow runs containers and a Kubernetes cluster on this machine, from one static binary.

Start with 'dhow server', then 'dhow kubectl get nodes'. 'dhow demo' shows all of it and cleans up.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().StringVar(&env.Root, "root", env.Root, "directory under which every path lies")
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

func newRootCommand(env *environment) *cobra.Command {
	root := newBareRoot(env)
	root.AddGroup(&cobra.Group{ID: "cluster", Title: "Cluster:"}, &cobra.Group{ID: "containers", Title: "Containers:"},
		&cobra.Group{ID: "images", Title: "Images:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("cluster", append(clusterCommands(env), newVersionCommand(env))...)
	add("containers", containerCommands(env)...)
	add("images", newBuildCommand(env), newBuilderCommand(env), newPullCommand(env), newPushCommand(env), newImagesCommand(env), newTagCommand(env), newRmiCommand(env), newLoadCommand(env), newSaveCommand(env),
		newImportCommand(env), newHistoryCommand(env), newImageCommand(env), newLoginCommand(env), newLogoutCommand(env))
	add("containers", newOCICommand(env))
	return root
}
