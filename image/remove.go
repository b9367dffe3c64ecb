package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// RemoveImage implements Service.
func (s *Store) RemoveImage(_ context.Context, ref string) error {
	unlock, err := s.lock(unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.find(ref)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	tags, err := s.tagsOf(r)
	if err != nil {
		return err
	}
	doomed := tags
	if name, err := normalize(ref); err == nil {
		for _, t := range tags {
			if t.Ref == name {
				doomed = []tag{t}
			}
		}
	}
	if len(doomed) == len(tags) {
		if err := s.unused(r); err != nil {
			return fmt.Errorf("remove %s: %w", ref, err)
		}
	}
	for _, t := range doomed {
		if err := ignoreMissing(os.Remove(s.path("tags", hashName(t.Ref)+".json"))); err != nil {
			return err
		}
	}
	if len(doomed) < len(tags) {
		return nil
	}
	if err := ignoreMissing(os.Remove(s.path("images", bare(r.ID)+".json"))); err != nil {
		return err
	}
	return s.sweep()
}

func (s *Store) tagsOf(r record) ([]tag, error) {
	all, err := s.tags()
	if err != nil {
		return nil, err
	}
	var own []tag
	for _, t := range all {
		if t.Image == r.ID {
			own = append(own, t)
		}
	}
	return own, nil
}

// unused fails with ErrInUse while a snapshot of the image exists.
func (s *Store) unused(r record) error {
	paths, err := filepath.Glob(s.path("snapshots", "*", "snapshot.json"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if made, err := read[snapshot](path); err == nil && made.Image == r.ID {
			return fmt.Errorf("%w: by %s", ErrInUse, made.Key)
		}
	}
	return nil
}

// sweep removes the layers that no image has. The caller holds the exclusive lock: nobody is adding one.
func (s *Store) sweep() error {
	records, err := s.records()
	if err != nil {
		return err
	}
	keep := map[string]bool{bare(emptyLayer): true}
	for _, r := range records {
		for _, id := range r.Layers {
			keep[bare(id)] = true
		}
	}
	entries, err := os.ReadDir(s.path("layers"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, isLock := strings.CutSuffix(e.Name(), ".lock")
		switch {
		case isLock:
			err = ignoreMissing(os.Remove(s.path("layers", e.Name())))
		case !keep[name]:
			err = s.discard(s.path("layers", name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
