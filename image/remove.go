package image

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dhow/image/names"
	"dhow/image/records"
	"dhow/internal/filelock"
)

// RemoveImage implements Service.
func (s *Store) RemoveImage(ctx context.Context, ref string) error {
	_, err := s.Remove(ctx, ref, RemoveOptions{Force: true, KeepUsed: true})
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// RemoveOptions of Remove.
type RemoveOptions struct {
	// Force removes an image that is given by its id and has several names, and one that stopped containers use.
	Force bool
	// KeepUsed refuses to remove an image that any snapshot uses, whatever Force says.
	KeepUsed bool
	// NoPrune keeps layers for the next sweep.
	NoPrune bool
}

// Removed is what went.
type Removed struct {
	Untagged []string // names, as they are known
	Deleted  []string // ids of images, then of layers
	Bytes    uint64   // of layers
}

// Remove takes a name away, or the image with all its names when ref is an id, and the image when nothing names it
// any more, as docker rmi does. ErrNotFound, ErrInUse, ErrConflict.
func (s *Store) Remove(_ context.Context, ref string, o RemoveOptions) (Removed, error) {
	unlock, err := s.lock(filelock.Exclusive)
	if err != nil {
		return Removed{}, err
	}
	done, err := s.remove(ref, o)
	unlock()
	if err != nil || o.NoPrune || len(done.Deleted) == 0 {
		return done, err
	}
	gone, err := s.sweep()
	done.addLayers(gone)
	return done, err
}

func (r *Removed) addLayers(gone []Layer) {
	for _, layer := range gone {
		r.Deleted = append(r.Deleted, layer.DiffID)
		r.Bytes += layer.Size
	}
}

func (s *Store) remove(ref string, o RemoveOptions) (Removed, error) {
	r, err := s.index.Find(ref)
	if err != nil {
		return Removed{}, err
	}
	own, err := s.tagsOf(r)
	if err != nil {
		return Removed{}, err
	}
	doomed, byName := doomedTags(own, ref)
	last := len(doomed) == len(own)
	if !byName && !o.Force && repositories(own) > 1 {
		return Removed{}, fmt.Errorf("%w: unable to delete %s (must be forced) - image is referenced in multiple repositories", ErrConflict, short(r.ID))
	}
	if last {
		if err := s.unused(r, o); err != nil {
			return Removed{}, err
		}
	}
	return s.drop(r, doomed, last)
}

// drop removes names, and the image with its last one. The caller has the exclusive lock.
func (s *Store) drop(r records.Image, doomed []records.Tag, last bool) (Removed, error) {
	var done Removed
	for _, t := range doomed {
		if err := s.index.RemoveTag(t); err != nil {
			return done, err
		}
		done.Untagged = append(done.Untagged, names.Familiar(t.Ref))
		if repository, tagged, _ := names.Cut(t.Ref); tagged != "" && t.Digest != "" {
			done.Untagged = append(done.Untagged, names.Familiar(repository)+"@"+t.Digest)
		}
	}
	if !last {
		return done, nil
	}
	if err := s.fail("image untagged"); err != nil {
		return done, err
	}
	done.Deleted = append(done.Deleted, r.ID)
	return done, s.index.Remove(r)
}

// doomedTags are the names that go with ref: it alone if it is one of them, else all.
func doomedTags(own []records.Tag, ref string) (doomed []records.Tag, byName bool) {
	full, err := names.Normalize(ref)
	if err != nil {
		return own, false
	}
	repository, _, digest := names.Cut(full)
	for _, t := range own {
		if t.Ref == full {
			return []records.Tag{t}, true
		}
	}
	for _, t := range own {
		if of, _, _ := names.Cut(t.Ref); digest != "" && of == repository && t.Digest == digest {
			doomed = append(doomed, t)
		}
	}
	if len(doomed) > 0 {
		return doomed, true
	}
	return own, false
}

func repositories(tags []records.Tag) int {
	all := map[string]bool{}
	for _, t := range tags {
		repository, _, _ := names.Cut(t.Ref)
		all[repository] = true
	}
	return len(all)
}

func short(id string) string { return records.Bare(id)[:12] }

func (s *Store) tagsOf(r records.Image) ([]records.Tag, error) {
	all, err := s.index.AllTags()
	if err != nil {
		return nil, err
	}
	var own []records.Tag
	for _, t := range all {
		if t.Image == r.ID {
			own = append(own, t)
		}
	}
	return own, nil
}

// unused fails with ErrInUse while a snapshot has the image. Who has it by a lease keeps its layers.
func (s *Store) unused(r records.Image, o RemoveOptions) error {
	made, err := s.snapshots()
	if err != nil {
		return err
	}
	for _, snap := range made {
		if snap.Image == r.ID && (o.KeepUsed || !o.Force) {
			return fmt.Errorf("conflict: unable to delete %s (must be forced) - %w by container %s", short(r.ID), ErrInUse, snap.Key)
		}
	}
	return nil
}

// PruneOptions of Prune.
type PruneOptions struct {
	// All removes every image that no container uses, not only those without names.
	All bool
	// Until, if not zero, spares images made later.
	Until time.Time
	// Wanted, if not nil, spares images that it says no to.
	Wanted func(*Details) bool
}

// Prune removes images that nothing uses, what interrupted pulls left, and the layers that remain without images.
func (s *Store) Prune(ctx context.Context, o PruneOptions) (Removed, error) {
	all, err := s.List(ctx)
	if err != nil {
		return Removed{}, err
	}
	var done Removed
	for _, d := range all {
		if !o.All && !d.Dangling() || !o.Until.IsZero() && d.created().After(o.Until) || o.Wanted != nil && !o.Wanted(d) {
			continue
		}
		more, err := s.pruneOne(d, o)
		if err != nil {
			return done, err
		}
		done.Untagged = append(done.Untagged, more.Untagged...)
		done.Deleted = append(done.Deleted, more.Deleted...)
	}
	gone, err := s.forgetUnfinished()
	done.addLayers(gone)
	return done, err
}

// pruneOne removes an image unless somebody has come to need it.
func (s *Store) pruneOne(d *Details, o PruneOptions) (Removed, error) {
	unlock, err := s.lock(filelock.Exclusive)
	if err != nil {
		return Removed{}, err
	}
	defer unlock()
	keep, err := s.mark()
	if err != nil || keep.images[records.Bare(d.ID)] {
		return Removed{}, err
	}
	r, err := s.index.ByID(d.ID)
	if err != nil {
		return Removed{}, nil // it is gone
	}
	own, err := s.tagsOf(r)
	if err != nil || !o.All && len(own) > 0 {
		return Removed{}, err
	}
	return s.drop(r, own, true)
}
