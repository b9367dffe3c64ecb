package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"dhow/image"
	"dhow/image/archive"
)

func newSaveCommand(env *environment) *cobra.Command {
	var file, format string
	cmd := &cobra.Command{
		Use:   "save [OPTIONS] IMAGE [IMAGE...]",
		Short: "Save images to an archive",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f, ok := env.Stdout.(*os.File); ok && file == "" && term.IsTerminal(int(f.Fd())) {
				return usageError{errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")}
			}
			store, err := openImages(env)
			if err != nil {
				return err
			}
			for _, ref := range args {
				if _, err := store.Inspect(cmd.Context(), ref); err != nil && cutsToNothing(store, cmd.Context(), ref) {
					return noSuchImage(ref, err)
				}
			}
			if file == "" {
				return store.Save(cmd.Context(), env.Stdout, archive.Format(format), args...)
			}
			return saveFile(cmd.Context(), env, store, file, archive.Format(format), args)
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "the file to write (default: standard output)")
	cmd.Flags().StringVar(&format, "format", string(archive.Docker), "docker-archive or oci-archive")
	return cmd
}

// cutsToNothing tells whether a repository has no tags here either.
func cutsToNothing(store *image.Store, ctx context.Context, ref string) bool {
	_, _, tagged := cutTag(ref)
	return tagged || !store.HasRepository(ctx, ref)
}

// saveFile writes the archive beside its name first, so that the name is a whole archive or what it was.
func saveFile(ctx context.Context, env *environment, store *image.Store, file string, format archive.Format, refs []string) error {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-")
	if err != nil {
		return fmt.Errorf("save: %w", err)
	}
	err = errors.Join(store.Save(ctx, f, format, refs...), f.Chmod(env.fileMode()), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
