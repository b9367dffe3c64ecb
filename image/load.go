package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"dhow/image/archive"
	"dhow/image/layers"
	"dhow/image/platform"
)

// LoadOptions of LoadFrom.
type LoadOptions struct {
	// Platform of the images to load from an archive of many, such as linux/arm64; this machine's if empty.
	Platform string
	// Progress may be nil; it is called from several goroutines.
	Progress func(Progress)
}

// Load adds the images of an archive: a tar file of an OCI layout, or what docker save writes; compressed or not.
// It returns their names; for one without a name, its id.
func (s *Store) Load(ctx context.Context, r io.Reader, progress func(Progress)) ([]string, error) {
	return s.LoadFrom(ctx, r, LoadOptions{Progress: progress})
}

// LoadFrom is Load for any platform.
func (s *Store) LoadFrom(ctx context.Context, r io.Reader, o LoadOptions) ([]string, error) {
	names, err := s.load(ctx, r, o)
	if err != nil {
		err = s.tidyIfFull(fmt.Errorf("load: %w", s.explainFull(err)))
	}
	return names, err
}

func (s *Store) load(ctx context.Context, r io.Reader, o LoadOptions) ([]string, error) {
	lease, err := s.Lease(ctx, "")
	if err != nil {
		return nil, err
	}
	defer lease.End()
	f, err := asFile(lease, &cancelable{ctx, r}, s.limits)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a, err := archive.Open(f)
	if err != nil {
		return nil, err
	}
	return s.loadArchive(ctx, a, o)
}

// LoadDir adds the images of a folder that is an OCI layout.
func (s *Store) LoadDir(ctx context.Context, dir string, o LoadOptions) ([]string, error) {
	a, err := archive.OpenDir(dir)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer a.Close()
	names, err := s.loadArchive(ctx, a, o)
	if err != nil {
		err = s.tidyIfFull(fmt.Errorf("load %s: %w", dir, s.explainFull(err)))
	}
	return names, err
}

// asFile gives a plain tar file whose parts can be read in any order: the one given, or a copy.
func asFile(lease *Lease, r *cancelable, limits layers.Limits) (*os.File, error) {
	if f, ok := r.Reader.(*os.File); ok && plainTar(f) {
		return os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	}
	plain, err := layers.Decompress(r, limits)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	dir, err := lease.Work("load-")
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "archive.tar"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(f, plain); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// plainTar tells whether a file can be used where it lies.
func plainTar(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	head := make([]byte, 512)
	if _, err := f.ReadAt(head, 0); err != nil {
		return false
	}
	return bytes.HasPrefix(head[257:], []byte("ustar"))
}

func (s *Store) loadArchive(ctx context.Context, a *archive.Archive, o LoadOptions) ([]string, error) {
	want, err := platform.Parse(o.Platform)
	if err != nil {
		return nil, err
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	var loaded []string
	for image, err := range a.Images(func(index *v1.IndexManifest) (v1.Descriptor, error) { return platform.Choose(index, want) }) {
		if err != nil {
			return loaded, err
		}
		r, err := s.arrive(ctx, arrivalOf(image, want), image.Names, image.Digest, o.Progress)
		if err != nil && len(image.Names) > 0 {
			err = fmt.Errorf("%s: %w", image.Names[0], err)
		}
		if err != nil {
			return loaded, err
		}
		loaded = append(loaded, image.Names...)
		if len(image.Names) == 0 {
			loaded = append(loaded, r.ID)
		}
	}
	return loaded, nil
}

func arrivalOf(image archive.Image, want v1.Platform) arrival {
	a := arrival{config: image.Config, manifest: image.Manifest, mediaType: image.MediaType, want: want}
	for _, layer := range image.Layers {
		a.layers = append(a.layers, incoming{desc: layer.Desc, open: func(context.Context, int64) (io.ReadCloser, error) {
			return layer.Open()
		}})
	}
	return a
}
