package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/image"
	"dhow/image/names"
)

func newImageInspectCommand(env *environment) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "inspect [OPTIONS] IMAGE [IMAGE...]",
		Short: "Show everything about images",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := openImages(env)
			if err != nil {
				return err
			}
			var things []any
			var failed error
			for _, ref := range args {
				d, err := store.Inspect(cmd.Context(), ref)
				if err != nil {
					failed = errors.Join(failed, noSuchImage(ref, err))
					continue
				}
				things = append(things, describeImage(d))
			}
			return errors.Join(output.Describe(env.Stdout, format, things), failed)
		},
	}
	cmd.Flags().StringVarP(&format, "format", "f", "", "'json' or a Go template")
	return cmd
}

// inspectedImage is docker's form of an image.
type inspectedImage struct {
	ID           string `json:"Id"`
	RepoTags     []string
	RepoDigests  []string
	Parent       string
	Comment      string
	Created      string
	Author       string
	Config       image.RunConfig
	Architecture string
	Variant      string `json:",omitempty"`
	Os           string
	Size         uint64
	RootFS       struct {
		Type   string
		Layers []string
	}
	Metadata struct{ LastTagTime time.Time }
}

func describeImage(d *image.Details) inspectedImage {
	i := inspectedImage{
		ID: d.ID, RepoTags: []string{}, RepoDigests: []string{}, Comment: d.Spec.Comment, Author: d.Spec.Author, Config: d.Spec.Config,
		Architecture: d.Spec.Architecture, Variant: d.Spec.Variant, Os: d.Spec.OS, Size: d.Size,
	}
	for _, name := range d.Names {
		i.RepoTags = append(i.RepoTags, names.Familiar(name))
	}
	for _, digest := range d.Digests {
		i.RepoDigests = append(i.RepoDigests, names.Familiar(digest))
	}
	if d.Spec.Created != nil {
		i.Created = d.Spec.Created.Format(time.RFC3339Nano)
	}
	i.RootFS.Type = "layers"
	for _, layer := range d.Layers {
		i.RootFS.Layers = append(i.RootFS.Layers, layer.DiffID)
	}
	i.Metadata.LastTagTime = d.Tagged
	return i
}
