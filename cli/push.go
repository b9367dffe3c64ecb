package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dhow/image"
	"dhow/image/names"
)

func newPushCommand(env *environment) *cobra.Command {
	var quiet, all bool
	cmd := &cobra.Command{
		Use:   "push [OPTIONS] NAME[:TAG]",
		Short: "Push an image to a registry",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := openImages(env)
			if err != nil {
				return err
			}
			ref := args[0]
			_, _, tagged := cutTag(ref)
			if all && tagged {
				return usageError{errors.New("tag can't be used with --all-tags/-a")}
			}
			if !all {
				if !tagged && !quiet && !strings.Contains(ref, "@") {
					fmt.Fprintln(env.Stdout, "Using default tag: latest")
				}
				return push(cmd, env, store, ref, quiet)
			}
			refs, err := localTags(cmd, store, ref)
			for _, one := range refs {
				err = errors.Join(err, push(cmd, env, store, one, quiet))
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&all, "all-tags", "a", false, "all tags of the repository that are here")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "print nothing but the image's name")
	return cmd
}

// localTags are the names of a repository's images here.
func localTags(cmd *cobra.Command, store *image.Store, ref string) ([]string, error) {
	full, err := names.Normalize(ref)
	if err != nil {
		return nil, usageError{err}
	}
	repository, _, _ := names.Cut(full)
	all, err := store.List(cmd.Context())
	if err != nil {
		return nil, err
	}
	var refs []string
	for _, d := range all {
		for _, name := range d.Names {
			if of, _, _ := names.Cut(name); of == repository {
				refs = append(refs, name)
			}
		}
	}
	if len(refs) == 0 {
		return nil, fmt.Errorf("An image does not exist locally with the tag: %s", names.Familiar(repository))
	}
	return refs, nil
}

func push(cmd *cobra.Command, env *environment, store *image.Store, ref string, quiet bool) error {
	full, err := names.Normalize(ref)
	if err != nil {
		return usageError{err}
	}
	repository, tag, _ := names.Cut(full)
	if !quiet {
		fmt.Fprintf(env.Stdout, "The push refers to repository [%s]\n", repository)
	}
	progress := newProgress(env, quiet, pushWords)
	done, err := store.Push(cmd.Context(), ref, image.PushOptions{Progress: progress.update})
	progress.end()
	if errors.Is(err, image.ErrNotHere) {
		return fmt.Errorf("An image does not exist locally with the tag: %s", names.Familiar(repository))
	}
	if err != nil {
		return err
	}
	if quiet {
		fmt.Fprintln(env.Stdout, full)
		return nil
	}
	fmt.Fprintf(env.Stdout, "%s: digest: %s size: %d\n", tag, done.Digest, done.Size)
	return nil
}
