package image

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

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
	unlock, err := s.lock(unix.LOCK_EX)
	if err != nil {
		return Removed{}, err
	}
	defer unlock()
	keep, err := s.mark()
	if err != nil || keep.images[bare(d.ID)] {
		return Removed{}, err
	}
	r, err := s.byID(d.ID)
	if err != nil {
		return Removed{}, nil // it is gone
	}
	own, err := s.tagsOf(r)
	if err != nil || !o.All && len(own) > 0 {
		return Removed{}, err
	}
	return s.drop(r, own, true)
}
