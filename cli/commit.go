package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dhow/image"
)

func newCommitCommand(env *environment) *cobra.Command {
	var changes []string
	var author, message string
	pause, noPause := true, false
	cmd := &cobra.Command{
		Use: "commit [flags] CONTAINER [NAME[:TAG]]", Short: "Make an image of a container", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := image.ParseChanges(changes)
			if err != nil {
				return err
			}
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			id, err := service.Commit(cmd.Context(), args[0], pause && !noPause, image.Commit{Names: args[1:], Change: change, Author: author, Comment: message})
			if err != nil {
				return err
			}
			fmt.Fprintln(env.Stdout, id)
			return nil
		},
	}
	cmd.Flags().StringArrayVarP(&changes, "change", "c", nil, "an instruction of a Dockerfile to apply, such as CMD, ENV or LABEL")
	cmd.Flags().StringVarP(&author, "author", "a", "", "who made it")
	cmd.Flags().StringVarP(&message, "message", "m", "", "what was changed")
	cmd.Flags().BoolVarP(&pause, "pause", "p", true, "hold the container meanwhile")
	cmd.Flags().BoolVar(&noPause, "no-pause", false, "let the container go on meanwhile")
	return cmd
}

func newExportCommand(env *environment) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "export [flags] CONTAINER", Short: "Write a container's files as a tar archive", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			var out io.Writer = env.Stdout
			if file != "" {
				f, err := env.createFile(file)
				if err != nil {
					return err
				}
				return errors.Join(service.Export(cmd.Context(), args[0], f), f.Close())
			}
			if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
				return errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")
			}
			return service.Export(cmd.Context(), args[0], out)
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "write to this file")
	return cmd
}

func newDiffCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "diff CONTAINER", Short: "List what a container has changed: A added, C changed, D deleted", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			service, _, err := openService(env)
			if err != nil {
				return err
			}
			changes, err := service.Changes(cmd.Context(), args[0])
			for _, c := range changes {
				fmt.Fprintf(env.Stdout, "%c %s\n", c.Kind, c.Path)
			}
			return err
		},
	}
}
