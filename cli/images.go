package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/assemble"
	"dhow/image"
)

func openImages(env *environment) (*image.Store, error) {
	config, err := nodeConfig(env)
	if err != nil {
		return nil, err
	}
	return assemble.Images(config)
}

func newImagesCommand(env *environment) *cobra.Command {
	var quiet, noTrunc bool
	cmd := &cobra.Command{
		Use:   "images",
		Short: "List the images on this node",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := openImages(env)
			if err != nil {
				return err
			}
			list, err := store.ListImages(cmd.Context())
			if err != nil {
				return err
			}
			return printImages(env.Stdout, list, quiet, noTrunc)
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "only ids")
	cmd.Flags().BoolVar(&noTrunc, "no-trunc", false, "whole ids")
	return cmd
}

func printImages(w io.Writer, list []*cri.Image, quiet, noTrunc bool) error {
	table := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	if !quiet {
		fmt.Fprintln(table, "REPOSITORY\tTAG\tIMAGE ID\tSIZE")
	}
	for _, i := range list {
		id := i.Id
		if !noTrunc {
			id = short(strings.TrimPrefix(id, "sha256:"))
		}
		if quiet {
			fmt.Fprintln(table, id)
			continue
		}
		names := i.RepoTags
		if len(names) == 0 {
			names = []string{"<none>:<none>"}
		}
		for _, name := range names {
			cut := strings.LastIndex(name, ":")
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", name[:cut], name[cut+1:], id, bytesText(i.Size))
		}
	}
	return table.Flush()
}

// bytesText is a size as docker prints it: three digits and a decimal unit.
func bytesText(n uint64) string {
	value, unit := float64(n), "B"
	for _, next := range []string{"kB", "MB", "GB", "TB"} {
		if value < 1000 {
			break
		}
		value, unit = value/1000, next
	}
	return fmt.Sprintf("%.3g%s", value, unit)
}

func newPullCommand(env *environment) *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:   "pull IMAGE",
		Short: "Pull an image from a registry",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := openImages(env)
			if err != nil {
				return err
			}
			progress := newProgress(env, quiet)
			id, err := store.PullImage(cmd.Context(), args[0], nil, progress.update)
			progress.end()
			if err != nil {
				return err
			}
			fmt.Fprintln(env.Stdout, id)
			return nil
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "no progress")
	return cmd
}

func newLoadCommand(env *environment) *cobra.Command {
	var input string
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Load images from an archive (OCI layout or docker save)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := openImages(env)
			if err != nil {
				return err
			}
			in := env.Stdin
			if input != "" {
				f, err := os.Open(input)
				if err != nil {
					return fmt.Errorf("load: %w", err)
				}
				defer f.Close()
				in = f
			}
			names, err := store.Load(cmd.Context(), in, nil)
			for _, name := range names {
				fmt.Fprintf(env.Stdout, "Loaded image: %s\n", name)
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&input, "input", "i", "", "the archive (default: standard input)")
	return cmd
}

func newRmiCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "rmi IMAGE...",
		Short: "Remove images",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := openImages(env)
			if err != nil {
				return err
			}
			var failed error
			for _, ref := range args {
				found, err := store.ImageStatus(cmd.Context(), ref)
				if err == nil && found == nil {
					err = fmt.Errorf("no such image: %s", ref)
				}
				if err == nil {
					err = store.RemoveImage(cmd.Context(), ref)
				}
				if err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				fmt.Fprintf(env.Stdout, "Untagged: %s\n", ref)
			}
			return failed
		},
	}
}

func newTagCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "tag IMAGE NAME",
		Short: "Give an image another name",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := openImages(env)
			if err != nil {
				return err
			}
			return store.Tag(cmd.Context(), args[0], args[1])
		},
	}
}

// progressEvery is how often plain lines tell of a download that goes on.
const progressEvery = 2 * time.Second
