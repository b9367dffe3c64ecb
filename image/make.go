package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dhow/image/names"
	"dhow/image/records"
)

// Put implements Maker.
func (s *Store) Put(_ context.Context, spec Spec, tags ...string) (string, error) {
	spec.RootFS.Type = "layers"
	if spec.RootFS.DiffIDs == nil {
		spec.RootFS.DiffIDs = []string{}
	}
	if spec.OS == "" {
		spec.OS = "linux"
	}
	if spec.Architecture == "" {
		spec.Architecture = runtime.GOARCH
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return "", fmt.Errorf("put image: %w", err)
	}
	full, err := tagNames(tags)
	if err != nil {
		return "", err
	}
	r := records.Image{ID: digestOf(raw), Layers: spec.RootFS.DiffIDs, Stored: time.Now().UTC(), Raw: raw}
	if err := s.publishing(func() error { return s.putImage(r, full, "") }); err != nil {
		return "", fmt.Errorf("put image: %w", err)
	}
	return r.ID, nil
}

// putImage publishes an image whose layers are there. The shared lock is held.
func (s *Store) putImage(r records.Image, full []string, digest string) error {
	for _, id := range r.Layers {
		if !s.have(id) {
			return fmt.Errorf("image %s: layer %s is not in the store", r.ID, id)
		}
	}
	if err := s.index.Put(r); err != nil {
		return err
	}
	if err := s.fail("image recorded"); err != nil {
		return err
	}
	for _, name := range full {
		if err := s.index.PutTag(records.Tag{Ref: name, Image: r.ID, Digest: digest}); err != nil {
			return err
		}
	}
	return nil
}

// hashText is a digest as text.
func hashText(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// tagNames spells names in full; none of them may be a digest.
func tagNames(tags []string) ([]string, error) {
	var full []string
	for _, t := range tags {
		name, err := names.Normalize(t)
		if err != nil {
			return nil, err
		}
		if strings.Contains(name, "@") {
			return nil, fmt.Errorf("%w: %q: a tag cannot have a digest", ErrInvalidName, t)
		}
		full = append(full, name)
	}
	return full, nil
}

// Commit implements Maker.
func (s *Store) Commit(ctx context.Context, key string, c Commit) (string, error) {
	made, err := records.Read[snapshot](filepath.Join(s.path("snapshots", records.HashName(key)), snapshotFile))
	if err != nil {
		return "", fmt.Errorf("commit %s: %w", key, err)
	}
	spec, err := s.specBelow(made)
	if err != nil {
		return "", fmt.Errorf("commit %s: %w", key, err)
	}
	if c.Change != nil {
		if err := c.Change(&spec.Config); err != nil {
			return "", fmt.Errorf("commit %s: %w", key, err)
		}
	}
	lease, err := s.Lease(ctx, "")
	if err != nil {
		return "", err
	}
	defer lease.End()
	layer, err := s.CommitLayer(ctx, lease, key, c.Created)
	if err != nil {
		return "", err
	}
	at := c.Created
	if at.IsZero() {
		at = time.Now().UTC()
	}
	spec.Created, spec.Comment = &at, c.Comment
	if c.Author != "" {
		spec.Author = c.Author
	}
	spec.RootFS.DiffIDs = append(append([]string{}, made.Layers...), layer.DiffID)
	spec.History = append(spec.History, ocispec.History{Created: &at, CreatedBy: c.CreatedBy, Author: c.Author, Comment: c.Comment})
	return s.Put(ctx, spec, c.Names...)
}

// specBelow is the configuration of the image that a snapshot was made of, as far as it is still there.
func (s *Store) specBelow(made snapshot) (Spec, error) {
	if made.Image != "" {
		if r, err := s.index.ByID(made.Image); err == nil {
			return r.Spec()
		}
	}
	return Spec{Config: RunConfig{ImageConfig: made.Config}}, nil
}

// Tag implements Maker.
func (s *Store) Tag(_ context.Context, source, target string) error {
	full, err := tagNames([]string{target})
	if err != nil {
		return err
	}
	return s.publishing(func() error {
		r, err := s.index.Find(source)
		if err != nil {
			return err
		}
		t := records.Tag{Ref: full[0], Image: r.ID}
		if old, err := s.index.Tag(full[0]); err == nil && old.Image == r.ID {
			t.Digest = old.Digest
		}
		return s.index.PutTag(t)
	})
}

// Untag implements Maker.
func (s *Store) Untag(_ context.Context, ref string) error {
	full, err := names.Normalize(ref)
	if err != nil {
		return err
	}
	return s.publishing(func() error {
		t, err := s.index.Tag(full)
		if err != nil {
			return fmt.Errorf("%s: %w", ref, ErrNotFound)
		}
		return s.index.RemoveTag(t)
	})
}
