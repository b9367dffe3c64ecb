package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dhow/image"
	"dhow/image/names"
)

func newLoadCommand(env *environment) *cobra.Command {
	var input, platform string
	var quiet bool
	cmd := &cobra.Command{
		Use:   "load [OPTIONS]",
		Short: "Load images from an archive or a folder (OCI layout, docker save)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f, ok := env.Stdin.(*os.File); ok && input == "" && term.IsTerminal(int(f.Fd())) {
				return usageError{errors.New("requested load from stdin, but stdin is empty")}
			}
			store, err := openImages(env)
			if err != nil {
				return err
			}
			progress := newProgress(env, quiet, loadWords)
			progress.quiet = quiet || !progress.terminal
			loaded, err := load(cmd, env, store, input, image.LoadOptions{Platform: platform, Progress: progress.update})
			progress.end()
			for _, name := range loaded {
				if strings.HasPrefix(name, "sha256:") {
					fmt.Fprintf(env.Stdout, "Loaded image ID: %s\n", name)
					continue
				}
				fmt.Fprintf(env.Stdout, "Loaded image: %s\n", names.Familiar(name))
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&input, "input", "i", "", "the archive or folder (default: standard input)")
	cmd.Flags().StringVar(&platform, "platform", "", "another platform than this machine's, such as linux/arm64")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "no progress")
	return cmd
}

func load(cmd *cobra.Command, env *environment, store *image.Store, input string, o image.LoadOptions) ([]string, error) {
	if input == "" {
		return store.LoadFrom(cmd.Context(), env.Stdin, o)
	}
	info, err := os.Stat(input)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if info.IsDir() {
		return store.LoadDir(cmd.Context(), input, o)
	}
	f, err := os.Open(input)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer f.Close()
	return store.LoadFrom(cmd.Context(), f, o)
}
