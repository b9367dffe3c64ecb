package cli

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dhow/image"
)

func newImportCommand(env *environment) *cobra.Command {
	var message, platform string
	var changes []string
	cmd := &cobra.Command{
		Use:   "import [OPTIONS] FILE|URL|- [REPOSITORY[:TAG]]",
		Short: "Make an image of an archive of files",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			change, err := image.ParseChanges(changes)
			if err != nil {
				return usageError{err}
			}
			store, err := openImages(env)
			if err != nil {
				return err
			}
			in, err := openImport(cmd, env, args[0])
			if err != nil {
				return fmt.Errorf("import: %w", err)
			}
			defer in.Close()
			o := image.ImportOptions{Message: message, Platform: platform, Change: change}
			if len(args) == 2 {
				o.Name = args[1]
			}
			id, err := store.Import(cmd.Context(), in, o)
			if err != nil {
				return err
			}
			fmt.Fprintln(env.Stdout, id)
			return nil
		},
	}
	cmd.Flags().StringArrayVarP(&changes, "change", "c", nil, "an instruction of a Dockerfile to apply: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR")
	cmd.Flags().StringVarP(&message, "message", "m", "", "the image's comment")
	cmd.Flags().StringVar(&platform, "platform", "", "another platform than this machine's, such as linux/arm64")
	return cmd
}

func openImport(cmd *cobra.Command, env *environment, from string) (io.ReadCloser, error) {
	if from == "-" {
		return io.NopCloser(env.Stdin), nil
	}
	if !strings.HasPrefix(from, "http://") && !strings.HasPrefix(from, "https://") {
		return os.Open(from)
	}
	r, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s answers %s", from, resp.Status)
	}
	return resp.Body, nil
}
