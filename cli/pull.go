package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dhow/image"
	"dhow/image/names"
)

func newPullCommand(env *environment) *cobra.Command {
	var quiet, all bool
	var platform string
	cmd := &cobra.Command{
		Use:   "pull [OPTIONS] NAME[:TAG|@DIGEST]",
		Short: "Pull an image from a registry",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := openImages(env)
			if err != nil {
				return err
			}
			ref := args[0]
			_, _, tagged := cutTag(ref)
			tagged = tagged || strings.Contains(ref, "@")
			if all && tagged {
				return usageError{errors.New("tag can't be used with --all-tags/-a")}
			}
			o := image.PullOptions{Platform: platform}
			if !all {
				if !tagged && !quiet {
					fmt.Fprintln(env.Stdout, "Using default tag: latest")
				}
				return pull(cmd, env, store, ref, o, quiet)
			}
			tags, err := store.RemoteTags(cmd.Context(), ref, nil)
			for _, tag := range tags {
				err = errors.Join(err, pull(cmd, env, store, ref+":"+tag, o, quiet))
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&all, "all-tags", "a", false, "all tags of the repository")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing but the image's name")
	cmd.Flags().StringVar(&platform, "platform", "", "another platform than this machine's, such as linux/arm64")
	return cmd
}

func pull(cmd *cobra.Command, env *environment, store *image.Store, ref string, o image.PullOptions, quiet bool) error {
	full, err := names.Normalize(ref)
	if err != nil {
		return usageError{err}
	}
	repository, tag, digest := names.Cut(full)
	progress := newProgress(env, quiet, pullWords)
	if !quiet {
		fmt.Fprintf(env.Stdout, "%s: Pulling from %s\n", tag+digest, names.Familiar(repository))
	}
	o.Progress = progress.update
	done, err := store.Pull(cmd.Context(), ref, o)
	progress.end()
	if err != nil {
		return err
	}
	if !quiet {
		fmt.Fprintf(env.Stdout, "Digest: %s\n", done.Digest)
		status := "Image is up to date for"
		if done.New {
			status = "Downloaded newer image for"
		}
		fmt.Fprintf(env.Stdout, "Status: %s %s\n", status, names.Familiar(full))
	}
	fmt.Fprintln(env.Stdout, full)
	return nil
}
