package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// emptyArchive is the archive whose digest is emptyLayer.
func emptyArchive() io.Reader { return bytes.NewReader(make([]byte, 1024)) }

// Load adds the images of an archive: a tar file of an OCI layout, or what docker save writes; compressed or not.
// It returns their names.
func (s *Store) Load(ctx context.Context, r io.Reader, progress func(Progress)) ([]string, error) {
	names, err := s.load(ctx, r, progress)
	return names, s.tidyIfFull(err)
}

func (s *Store) load(ctx context.Context, r io.Reader, progress func(Progress)) ([]string, error) {
	unlock, err := s.lock(unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if progress == nil {
		progress = func(Progress) {}
	}
	dir, err := os.MkdirTemp(s.path("tmp"), "load-")
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer os.RemoveAll(dir)
	plain, done, err := decompress(r)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	defer done()
	archive := filepath.Join(dir, "archive.tar")
	if err := spool(archive, plain); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	names, err := s.loadArchive(ctx, archive, filepath.Join(dir, "layout"), progress)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	return names, nil
}

// spool keeps an archive whole: its parts come in any order.
func spool(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

func (s *Store) loadArchive(ctx context.Context, archive, dir string, progress func(Progress)) ([]string, error) {
	isLayout, err := contains(archive, "oci-layout")
	if err != nil {
		return nil, err
	}
	if isLayout {
		return s.loadLayout(ctx, archive, dir, progress)
	}
	return s.loadDocker(ctx, archive, progress)
}

func contains(archive, file string) (bool, error) {
	f, err := os.Open(archive)
	if err != nil {
		return false, err
	}
	defer f.Close()
	entries := tar.NewReader(f)
	for n := 0; ; n++ {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return false, errors.New("it is no archive of images: it is empty")
			}
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("it is no archive of images: %w", err)
		}
		if filepath.Clean(h.Name) == file {
			return true, nil
		}
	}
}

func (s *Store) loadLayout(ctx context.Context, archive, dir string, progress func(Progress)) ([]string, error) {
	if err := extract(archive, dir); err != nil {
		return nil, fmt.Errorf("OCI layout: %w", err)
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("OCI layout: %w", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("OCI layout: index.json: %w", err)
	}
	var names []string
	for _, d := range manifest.Manifests {
		if d.Platform != nil && !ours(d) {
			continue
		}
		ref, err := layoutName(d)
		if err != nil {
			return nil, err
		}
		image, err := forThisMachine(index, d)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ref, err)
		}
		if _, err := s.add(ctx, image, ref, d.Digest.String(), progress); err != nil {
			return nil, fmt.Errorf("%s: %w", ref, err)
		}
		names = append(names, ref)
	}
	if len(names) == 0 && len(manifest.Manifests) > 0 {
		return nil, noneForThisMachine(manifest)
	}
	return names, nil
}

// extract unpacks a layout, which is of plain files only: nothing else could be read as one without harm.
func extract(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	entries := tar.NewReader(f)
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = extractEntry(root, h, entries)
		}
		if err != nil {
			return err
		}
	}
}

func extractEntry(root *os.Root, h *tar.Header, content io.Reader) error {
	name := filepath.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o700)
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeReg:
	default:
		return fmt.Errorf("%s is no plain file", h.Name)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// layoutName is the name that an index gives an image: containerd's annotation has it whole, OCI's may be a tag.
func layoutName(d v1.Descriptor) (string, error) {
	for _, key := range []string{"io.containerd.image.name", ocispec.AnnotationRefName} {
		if found := d.Annotations[key]; found != "" {
			return normalize(found)
		}
	}
	return "", fmt.Errorf("image %s has no name in index.json (annotation %s)", d.Digest, ocispec.AnnotationRefName)
}

// forThisMachine opens an entry of an index; of an index inside it, the image of this platform.
func forThisMachine(index v1.ImageIndex, d v1.Descriptor) (v1.Image, error) {
	if !d.MediaType.IsIndex() {
		return index.Image(d.Digest)
	}
	inner, err := index.ImageIndex(d.Digest)
	if err != nil {
		return nil, err
	}
	manifest, err := inner.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, m := range manifest.Manifests {
		if ours(m) {
			return inner.Image(m.Digest)
		}
	}
	return nil, noneForThisMachine(manifest)
}

func (s *Store) loadDocker(ctx context.Context, archive string, progress func(Progress)) ([]string, error) {
	manifest, err := tarball.LoadManifest(func() (io.ReadCloser, error) { return os.Open(archive) })
	if err != nil {
		return nil, fmt.Errorf("it is neither an OCI layout nor an archive of docker save: %w", err)
	}
	var names []string
	for _, entry := range manifest {
		if len(entry.RepoTags) == 0 {
			return nil, fmt.Errorf("manifest.json: the image %s has no RepoTags", entry.Config)
		}
		image, err := dockerImage(archive, entry)
		if err != nil {
			return nil, err
		}
		for _, repoTag := range entry.RepoTags {
			ref, err := normalize(repoTag)
			if err != nil {
				return nil, err
			}
			if _, err := s.add(ctx, image, ref, "", progress); err != nil {
				return nil, fmt.Errorf("%s: %w", ref, err)
			}
			names = append(names, ref)
		}
	}
	return names, nil
}

func dockerImage(archive string, entry tarball.Descriptor) (v1.Image, error) {
	tag, err := name.NewTag(entry.RepoTags[0])
	if err != nil {
		return nil, fmt.Errorf("manifest.json: %w: %w", ErrInvalidName, err)
	}
	return tarball.ImageFromPath(archive, &tag)
}
