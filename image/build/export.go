package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"dhow/image"
	"dhow/image/archive"
	"dhow/image/build/rooted"
)

// Output is where a result goes besides the image store.
type Output struct {
	// Type is "docker" or "oci" (an archive of the image), "tar" or "local" (its files).
	Type string
	// Dest is a directory for local, a file for the others.
	Dest string
	// Umask has the rights that nobody gets on the file, or on a new directory.
	Umask fs.FileMode
	// To takes an archive if Dest is empty.
	To io.Writer
}

// finish is the image's configuration.
func (w *work) finish(made *state) image.Spec {
	spec := made.spec
	spec.RootFS = image.RootFS{Type: "layers", DiffIDs: made.layers}
	created := made.created
	if created.IsZero() {
		created = w.now
	}
	if w.Epoch != nil {
		created = *w.Epoch
	}
	spec.Created = &created
	last := created
	if len(spec.History) > 0 { // steps without a layer were done with the layer before
		for i := range slices.Backward(spec.History) {
			if spec.History[i].Created == nil {
				spec.History[i].Created = &last
			} else {
				last = *spec.History[i].Created
			}
		}
	}
	if len(w.Labels) > 0 {
		spec.Config.Labels = maps.Clone(spec.Config.Labels)
		if spec.Config.Labels == nil {
			spec.Config.Labels = map[string]string{}
		}
		maps.Copy(spec.Config.Labels, w.Labels)
	}
	return spec
}

// export puts the result where it is wanted.
func (w *work) export(ctx context.Context, made *state) (Result, error) {
	spec := w.finish(made)
	if len(w.Outputs) == 0 {
		return w.store(ctx, spec, w.Tags...)
	}
	var result Result
	for _, o := range w.Outputs {
		var err error
		switch o.Type {
		case "tar", "local":
			err = w.exportFiles(ctx, made, o)
		default:
			if result, err = w.store(ctx, spec, w.Tags...); err == nil && (o.Dest != "" || o.To != nil) {
				err = w.exportImage(ctx, result.ID, o)
			}
		}
		if err != nil {
			return result, err
		}
	}
	return result, nil
}

func (w *work) store(ctx context.Context, spec image.Spec, tags ...string) (Result, error) {
	step := w.Display.Step("exporting to image")
	step.Status("exporting layers done")
	id, err := w.config.Images.Put(ctx, spec, tags...)
	if err == nil {
		step.Status("writing image %s done", id)
		for _, tag := range tags {
			step.Status("naming to %s done", tag)
		}
	}
	step.End(err)
	return Result{ID: id}, err
}

// exportImage writes the image as an archive.
func (w *work) exportImage(ctx context.Context, id string, o Output) error {
	format, refs := archive.Docker, w.Tags
	if o.Type == "oci" {
		format = archive.OCI
	}
	if len(refs) == 0 {
		refs = []string{id}
	}
	step := w.Display.Step(fmt.Sprintf("exporting to %s image format", o.Type))
	err := toFile(o, func(out io.Writer) error { return w.config.Images.Save(ctx, out, format, refs...) })
	step.End(err)
	return err
}

// toFile writes a file that is there whole, or not at all.
func toFile(o Output, write func(io.Writer) error) error {
	if o.Dest == "" {
		return write(o.To)
	}
	f, err := os.OpenFile(o.Dest+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o666&^o.Umask)
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), o.Dest)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// exportFiles writes the files of the result.
func (w *work) exportFiles(ctx context.Context, made *state, o Output) error {
	step := w.Display.Step("exporting to client " + map[string]string{"tar": "tarball", "local": "directory"}[o.Type])
	err := w.writeFiles(ctx, made, o)
	step.End(err)
	return err
}

func (w *work) writeFiles(ctx context.Context, made *state, o Output) error {
	tree, err := w.tree(ctx, made)
	if err != nil {
		return err
	}
	defer tree.Close()
	options := rooted.Copy{}
	if w.Epoch != nil {
		options.Latest = *w.Epoch
	}
	if o.Type == "tar" {
		return toFile(o, func(out io.Writer) error { return tree.Tar(out, latest(w.Epoch)) })
	}
	if o.Dest == "" {
		return errors.New("--output type=local needs dest=DIRECTORY")
	}
	if err := os.MkdirAll(o.Dest, 0o777&^o.Umask); err != nil {
		return err
	}
	to, err := rooted.Open(o.Dest)
	if err != nil {
		return err
	}
	defer to.Close()
	return options.Dir(tree, "/", to, "/")
}

func latest(epoch *time.Time) time.Time {
	if epoch == nil {
		return time.Time{}
	}
	return *epoch
}
