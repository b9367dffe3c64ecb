package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dhow/image/layers"
	"dhow/image/records"
	"dhow/internal/rootfs"
)

// snapshot says whose writable layer a folder is, and over which layers it lies: it needs no image.
type snapshot struct {
	Key    string              `json:"key"`
	Image  string              `json:"image,omitempty"`
	Layers []string            `json:"layers"`
	Config ocispec.ImageConfig `json:"config"`
}

// old snapshots do not say what they lie over; containers may still run on them.
func (s snapshot) old() bool { return s.Layers == nil }

const snapshotFile = "snapshot.json"

// Snapshot implements container.Images.
func (s *Store) Snapshot(_ context.Context, key, image string) (*rootfs.Snapshot, error) {
	snap, err := s.snapshotOf(key, func() (snapshot, error) {
		r, err := s.index.Find(image)
		if err != nil {
			return snapshot{}, err
		}
		spec, err := r.Spec()
		return snapshot{Key: key, Image: r.ID, Layers: append([]string{}, r.Layers...), Config: spec.Config.ImageConfig}, err
	})
	if err != nil {
		return nil, fmt.Errorf("snapshot of %s: %w", image, err)
	}
	return snap, nil
}

// SnapshotOf implements Maker.
func (s *Store) SnapshotOf(_ context.Context, key string, ids []string, config ocispec.ImageConfig) (*rootfs.Snapshot, error) {
	snap, err := s.snapshotOf(key, func() (snapshot, error) {
		for _, id := range ids {
			if !s.have(id) {
				return snapshot{}, fmt.Errorf("layer %s: %w", id, fs.ErrNotExist)
			}
		}
		return snapshot{Key: key, Layers: append([]string{}, ids...), Config: config}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", key, err)
	}
	return snap, nil
}

// snapshotOf gives the snapshot that has the key, or makes it.
func (s *Store) snapshotOf(key string, describe func() (snapshot, error)) (*rootfs.Snapshot, error) {
	dir := s.path("snapshots", records.HashName(key))
	var made snapshot
	err := s.publishing(func() error {
		var err error
		made, err = records.Read[snapshot](filepath.Join(dir, snapshotFile))
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if made, err = describe(); err != nil {
			return err
		}
		return s.makeSnapshot(dir, made)
	})
	if err == nil && made.old() {
		err = fmt.Errorf("%s was made by an older dhow: make the container again", key)
	}
	if err != nil {
		return nil, err
	}
	return &rootfs.Snapshot{
		Lower: s.lower(made.Layers), Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work"),
		ImageID: made.Image, Config: made.Config,
	}, nil
}

// makeSnapshot fills a folder in tmp and renames it.
func (s *Store) makeSnapshot(dir string, made snapshot) error {
	if len(made.Layers) == 0 {
		if err := s.makeEmptyLayer(); err != nil {
			return err
		}
	}
	tmp, err := os.MkdirTemp(s.path("tmp"), "snapshot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Mkdir(filepath.Join(tmp, "upper"), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(tmp, "work"), 0o700); err != nil {
		return err
	}
	if err := layers.ShowImplied(s.lower(made.Layers), filepath.Join(tmp, "upper")); err != nil {
		return err
	}
	if err := records.Write(s.path("tmp"), filepath.Join(tmp, snapshotFile), made); err != nil {
		return err
	}
	if err := s.fail("snapshot made"); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

// lower lists the folders of layers, topmost first, down to one that hides all others. No layers are the empty one.
func (s *Store) lower(ids []string) []string {
	if len(ids) == 0 {
		ids = []string{layers.Empty}
	}
	var dirs []string
	for _, id := range slices.Backward(ids) {
		if dir := layers.Root(s.layer(id)); !slices.Contains(dirs, dir) { // overlayfs refuses one directory twice
			dirs = append(dirs, dir)
			if layers.HidesLower(dir) {
				break
			}
		}
	}
	return dirs
}

// RemoveSnapshot implements container.Images.
func (s *Store) RemoveSnapshot(_ context.Context, key string) error {
	return s.discard(s.path("snapshots", records.HashName(key)))
}

// discard moves a folder to tmp first, so that it goes as a whole.
func (s *Store) discard(dir string) error {
	var trash string
	err := s.publishing(func() error {
		var err error
		trash, err = s.trash(dir)
		return err
	})
	if err != nil || trash == "" {
		return err
	}
	return os.RemoveAll(trash)
}

// trash moves a folder to tmp, where it is rubbish; empty if it is not there. Some lock is held.
func (s *Store) trash(dir string) (string, error) {
	trash, err := os.MkdirTemp(s.path("tmp"), "trash-")
	if err != nil {
		return "", err
	}
	if err := ignoreMissing(os.Rename(dir, filepath.Join(trash, "gone"))); err != nil {
		return "", errors.Join(err, os.Remove(trash))
	}
	return trash, nil
}

// snapshots lists all. One that a loss of power spoilt does not say what it lies over: see old.
func (s *Store) snapshots() ([]snapshot, error) {
	names, err := records.Names(s.path("snapshots"), "", "")
	if err != nil {
		return nil, err
	}
	var all []snapshot
	for _, name := range names {
		made, err := records.Read[snapshot](s.path("snapshots", name, snapshotFile))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case records.OfTheMoment(err):
			return nil, err
		case err != nil:
			made = snapshot{}
		}
		all = append(all, made)
	}
	return all, nil
}
