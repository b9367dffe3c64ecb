package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"dhow/image/names"
	"dhow/image/records"
)

// Inspect implements Maker.
func (s *Store) Inspect(_ context.Context, ref string) (*Details, error) {
	r, err := s.index.Find(ref)
	if err != nil {
		return nil, err
	}
	tags, err := s.index.AllTags()
	if err != nil {
		return nil, err
	}
	d, err := s.details(r, tags)
	if s.isGone(r, err) {
		return nil, fmt.Errorf("%s: %w", ref, ErrNotFound)
	}
	return d, err
}

// isGone tells whether a failure comes of an image's removal by somebody else meanwhile.
func (s *Store) isGone(r records.Image, err error) bool {
	if !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_, err = s.index.ByID(r.ID)
	return errors.Is(err, ErrNotFound)
}

// List is Inspect of all images, newest first.
func (s *Store) List(context.Context) ([]*Details, error) {
	known, err := s.index.All()
	if err != nil {
		return nil, err
	}
	tags, err := s.index.AllTags()
	if err != nil {
		return nil, err
	}
	all := make([]*Details, 0, len(known))
	for _, r := range known {
		d, err := s.details(r, tags)
		if s.isGone(r, err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	slices.SortStableFunc(all, func(a, b *Details) int { return b.created().Compare(a.created()) })
	return all, nil
}

func (s *Store) details(r records.Image, tags []records.Tag) (*Details, error) {
	spec, err := r.Spec()
	if err != nil {
		return nil, err
	}
	d := &Details{ID: r.ID, Spec: spec, Raw: r.Raw, Compressed: r.Compressed, Stored: r.Stored}
	for _, t := range tags {
		if t.Image == r.ID {
			d.addName(t)
		}
	}
	slices.Sort(d.Names)
	slices.Sort(d.Digests)
	d.Digests = slices.Compact(d.Digests)
	for _, id := range r.Layers {
		layer, err := s.layerOf(id)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", r.ID, err)
		}
		d.Layers = append(d.Layers, layer)
		d.Size += layer.Size
	}
	return d, nil
}

func (d *Details) addName(t records.Tag) {
	repository, tagged, digest := names.Cut(t.Ref)
	if tagged != "" {
		d.Names = append(d.Names, t.Ref)
	}
	if t.Digest != "" {
		digest = t.Digest
	}
	if digest != "" {
		d.Digests = append(d.Digests, repository+"@"+digest)
	}
	if t.At.After(d.Tagged) {
		d.Tagged = t.At
	}
}

// Dangling tells whether nothing names the image.
func (d *Details) Dangling() bool { return len(d.Names) == 0 && len(d.Digests) == 0 }

// HistoryEntry is one step by which an image came about.
type HistoryEntry struct {
	ID        string // the image's, for the last step; "<missing>" for the others
	Created   int64  // seconds since 1970; 0 if not told
	CreatedBy string
	Tags      []string // of the last step
	Size      uint64
	Comment   string
}

// History lists the steps by which an image came about, the last first.
func (s *Store) History(ctx context.Context, ref string) ([]HistoryEntry, error) {
	d, err := s.Inspect(ctx, ref)
	if err != nil {
		return nil, err
	}
	var steps []HistoryEntry
	next := 0
	for _, h := range d.Spec.History {
		step := HistoryEntry{ID: "<missing>", CreatedBy: h.CreatedBy, Comment: h.Comment}
		if h.Created != nil {
			step.Created = h.Created.Unix()
		}
		if !h.EmptyLayer && next < len(d.Layers) {
			step.Size = d.Layers[next].Size
			next++
		}
		steps = append(steps, step)
	}
	for ; next < len(d.Layers); next++ { // of these the history says nothing
		steps = append(steps, HistoryEntry{ID: "<missing>", Size: d.Layers[next].Size})
	}
	slices.Reverse(steps)
	if len(steps) > 0 {
		steps[0].ID = d.ID
		for _, name := range d.Names {
			steps[0].Tags = append(steps[0].Tags, names.Familiar(name))
		}
	}
	return steps, nil
}

func (d *Details) created() time.Time {
	if d.Spec.Created == nil {
		return time.Time{}
	}
	return *d.Spec.Created
}

// HasRepository tells whether any tag of a repository is here.
func (s *Store) HasRepository(_ context.Context, repository string) bool {
	full, err := names.Normalize(repository)
	if err != nil {
		return false
	}
	found, err := s.ofRepository(full)
	return err == nil && len(found) > 0
}
