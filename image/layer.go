package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"dhow/image/layers"
	"dhow/image/records"
)

// layer is the folder of a layer, there or not.
func (s *Store) layer(diffID string) string { return s.path("layers", records.Bare(diffID)) }

// have says whether a layer is unpacked already.
func (s *Store) have(diffID string) bool {
	_, err := os.Stat(layers.Root(s.layer(diffID)))
	return err == nil
}

// staged is a layer that is unpacked and not published.
type staged struct {
	dir  string
	meta layers.Metadata
}

// stage unpacks an archive in the lease's workplace.
func (s *Store) stage(lease *Lease, archive io.Reader) (staged, error) {
	dir, err := lease.Work("layer-")
	if err != nil {
		return staged{}, err
	}
	meta, err := layers.Unpack(archive, dir, s.limits)
	if err == nil {
		err = s.fail("layer unpacked")
	}
	if err != nil {
		return staged{}, errors.Join(err, os.RemoveAll(dir))
	}
	return staged{dir, meta}, nil
}

// publish makes a staged layer one of the store's, unless it has it. A lease holds it.
func (s *Store) publish(made staged) error {
	if err := s.markUnsynced(made.dir); err != nil {
		return err
	}
	if err := s.fail("layer marked"); err != nil {
		return err
	}
	err := s.publishing(func() error { return os.Rename(made.dir, s.layer(made.meta.DiffID)) })
	if errors.Is(err, fs.ErrExist) { // ENOTEMPTY: somebody was faster
		return os.RemoveAll(made.dir)
	}
	return err
}

// PutLayer implements Maker.
func (s *Store) PutLayer(ctx context.Context, lease *Lease, archive io.Reader) (Layer, error) {
	made, err := s.stage(lease, &cancelable{ctx, archive})
	if err != nil {
		return Layer{}, fmt.Errorf("store layer: %w", s.explainFull(err))
	}
	if err := lease.Hold(made.meta.DiffID); err != nil {
		return Layer{}, err
	}
	if err := s.publish(made); err != nil {
		return Layer{}, fmt.Errorf("store layer: %w", err)
	}
	return Layer{DiffID: made.meta.DiffID, Size: made.meta.Size}, nil
}

// CommitLayer implements Maker.
func (s *Store) CommitLayer(ctx context.Context, lease *Lease, key string, at time.Time) (Layer, error) {
	upper := s.path("snapshots", records.HashName(key), "upper")
	if _, err := os.Stat(upper); err != nil {
		return Layer{}, fmt.Errorf("commit %s: %w", key, err)
	}
	r, w := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.CloseWithError(layers.Diff(w, upper, at))
	}()
	layer, err := s.PutLayer(ctx, lease, r)
	r.CloseWithError(err) // the other side ends, too
	<-ended
	if err != nil {
		return Layer{}, fmt.Errorf("commit %s: %w", key, err)
	}
	return layer, nil
}

// makeEmptyLayer makes the layer of images that have none. Some lock is held.
func (s *Store) makeEmptyLayer() error {
	if s.have(layers.Empty) {
		return nil
	}
	dir, err := os.MkdirTemp(s.path("tmp"), "empty-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := layers.Unpack(bytes.NewReader(layers.EmptyArchive()), dir, s.limits); err != nil {
		return err
	}
	if err := os.Rename(dir, s.layer(layers.Empty)); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Layer describes a layer, if the store has it; else its error is fs.ErrNotExist.
func (s *Store) Layer(_ context.Context, diffID string) (Layer, error) { return s.layerOf(diffID) }

// layerOf describes a stored layer.
func (s *Store) layerOf(diffID string) (Layer, error) {
	m, err := layers.Read(s.layer(diffID))
	if err != nil {
		return Layer{}, fmt.Errorf("layer %s: %w", diffID, err)
	}
	return Layer{DiffID: diffID, Size: m.Size}, nil
}

// cancelable is a reader that ends with its context.
type cancelable struct {
	ctx context.Context // of one reading
	io.Reader
}

func (c *cancelable) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.Reader.Read(p)
}

// blob is a layer's archive as registries have it.
type blob struct {
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	MediaType string `json:"mediaType"`
	// Repositories are some that have it.
	Repositories []string `json:"repositories,omitempty"`
}

const blobsFile = "blobs.json"

// blobs lists what a layer was pulled or pushed as.
func (s *Store) blobs(diffID string) ([]blob, error) {
	all, err := records.Read[[]blob](filepath.Join(s.layer(diffID), blobsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return all, err
}

// repositoriesMost bounds what is remembered of one blob.
const repositoriesMost = 16

// noteBlob remembers that a repository has a layer as such a blob.
func (s *Store) noteBlob(diffID string, b blob, repository string) error {
	return s.publishing(func() error {
		all, err := s.blobs(diffID)
		if err != nil {
			return err
		}
		at := len(all)
		for i, known := range all {
			if known.Digest == b.Digest {
				at = i
			}
		}
		if at == len(all) {
			all = append(all, b)
		}
		for _, known := range all[at].Repositories {
			if known == repository {
				return nil
			}
		}
		if repository != "" {
			all[at].Repositories = append(all[at].Repositories, repository)
		}
		if more := len(all[at].Repositories) - repositoriesMost; more > 0 {
			all[at].Repositories = all[at].Repositories[more:]
		}
		return ignoreMissing(records.Write(s.path("tmp"), filepath.Join(s.layer(diffID), blobsFile), all))
	})
}
