package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dhow/image/archive"
	"dhow/image/layers"
	"dhow/image/names"
	"dhow/image/platform"
	"dhow/image/records"
)

// Save writes images, by name or id, as one archive. A name without a tag stands for all tags of its repository.
func (s *Store) Save(ctx context.Context, w io.Writer, format archive.Format, refs ...string) error {
	if format != archive.Docker && format != archive.OCI {
		return fmt.Errorf("save: format %q is neither %s nor %s", format, archive.Docker, archive.OCI)
	}
	lease, err := s.Lease(ctx, "")
	if err != nil {
		return err
	}
	defer lease.End()
	var sources []archive.Source
	at := map[string]int{}
	for _, ref := range refs {
		found, err := s.toSave(ref)
		if err != nil {
			return fmt.Errorf("save: %w", err)
		}
		for _, f := range found {
			i, known := at[f.image.ID]
			if !known {
				source, err := s.source(ctx, lease, f.image)
				if err != nil {
					return fmt.Errorf("save %s: %w", ref, err)
				}
				i = len(sources)
				at[f.image.ID], sources = i, append(sources, source)
			}
			if f.name != "" && !slices.Contains(sources[i].Names, f.name) {
				sources[i].Names = append(sources[i].Names, f.name)
			}
		}
	}
	if err := archive.Write(w, format, sources); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	return nil
}

type saving struct {
	image records.Image
	name  string
}

// toSave are the images that a word of the user's means, and their names.
func (s *Store) toSave(ref string) ([]saving, error) {
	full, nameErr := names.Normalize(ref)
	if nameErr == nil && !hasTag(ref) {
		if all, err := s.ofRepository(full); err != nil || len(all) > 0 {
			return all, err
		}
	}
	r, err := s.index.Find(ref)
	if err != nil {
		return nil, err
	}
	if nameErr == nil {
		if _, err := s.index.Tag(full); err == nil && !strings.Contains(full, "@") {
			return []saving{{r, full}}, nil
		}
	}
	return []saving{{image: r}}, nil
}

// hasTag tells whether a reference has a tag or digest of its own.
func hasTag(ref string) bool {
	return strings.Contains(ref, "@") || strings.Contains(ref[strings.LastIndex(ref, "/")+1:], ":")
}

func (s *Store) ofRepository(full string) ([]saving, error) {
	repository, _, _ := names.Cut(full)
	tags, err := s.index.AllTags()
	if err != nil {
		return nil, err
	}
	var all []saving
	for _, t := range tags {
		if of, tagged, _ := names.Cut(t.Ref); of == repository && tagged != "" {
			r, err := s.index.ByID(t.Image)
			if errors.Is(err, ErrNotFound) {
				continue // it was removed meanwhile
			}
			if err != nil {
				return nil, err
			}
			all = append(all, saving{r, t.Ref})
		}
	}
	return all, nil
}

func (s *Store) source(ctx context.Context, lease *Lease, r records.Image) (archive.Source, error) {
	if err := lease.Hold(r.Layers...); err != nil {
		return archive.Source{}, err
	}
	spec, err := r.Spec()
	if err != nil {
		return archive.Source{}, err
	}
	source := archive.Source{Config: r.Raw, OS: spec.OS, Architecture: spec.Architecture, Variant: spec.Variant}
	for _, id := range r.Layers {
		m, err := layers.Read(s.layer(id))
		if err != nil {
			return source, fmt.Errorf("layer %s: %w", id, err)
		}
		source.Layers = append(source.Layers, archive.SourceLayer{DiffID: id, Size: m.Bytes, Open: func() (io.ReadCloser, error) {
			content, err := layers.Archive(s.layer(id))
			if err != nil {
				return nil, err
			}
			return &readCloser{&cancelable{ctx, content}, content}, nil
		}})
	}
	return source, nil
}

// ImportOptions of Import.
type ImportOptions struct {
	Name     string // may be empty
	Message  string
	Platform string
	Change   func(*RunConfig) error // may be nil
}

// Import makes an image of one layer of an archive of files.
func (s *Store) Import(ctx context.Context, r io.Reader, o ImportOptions) (id string, err error) {
	p, err := platform.Parse(o.Platform)
	if err != nil {
		return "", err
	}
	at := time.Now().UTC()
	spec := Spec{Platform: ocispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}, Created: &at, Comment: o.Message}
	if o.Change != nil {
		if err := o.Change(&spec.Config); err != nil {
			return "", fmt.Errorf("import: %w", err)
		}
	}
	lease, err := s.Lease(ctx, "")
	if err != nil {
		return "", err
	}
	defer lease.End()
	layer, err := s.PutLayer(ctx, lease, r)
	if err != nil {
		return "", s.tidyIfFull(fmt.Errorf("import: %w", err))
	}
	spec.RootFS.DiffIDs = []string{layer.DiffID}
	spec.History = []ocispec.History{{Created: &at, Comment: o.Message}}
	var tags []string
	if o.Name != "" {
		tags = []string{o.Name}
	}
	return s.Put(ctx, spec, tags...)
}
