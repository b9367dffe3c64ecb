package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/image/download"
	"dhow/image/names"
	"dhow/image/platform"
	"dhow/image/registry"
)

// PullOptions of Pull.
type PullOptions struct {
	// Platform of the image, such as linux/arm64; this machine's if empty.
	Platform string
	// Auth for the registry; if nil, registries.yaml and Docker's config.json say.
	Auth *cri.AuthConfig
	// Progress may be nil; it is called from several goroutines.
	Progress func(Progress)
}

// Pulled is an image that was pulled.
type Pulled struct {
	ID     string
	Name   string // in full
	Digest string // of the manifest or index that the name stands for
	// New is false when the name stood for this image before.
	New bool
}

// PullImage implements Service.
func (s *Store) PullImage(ctx context.Context, ref string, auth *cri.AuthConfig, progress func(Progress)) (string, error) {
	p, err := s.Pull(ctx, ref, PullOptions{Auth: auth, Progress: progress})
	return p.ID, err
}

// Pull is PullImage for any platform.
func (s *Store) Pull(ctx context.Context, ref string, o PullOptions) (Pulled, error) {
	parsed, err := names.Parse(ref)
	if err != nil {
		return Pulled{}, err
	}
	want, err := platform.Parse(o.Platform)
	if err != nil {
		return Pulled{}, err
	}
	release, err := s.only(ctx, names.Spell(parsed))
	if err != nil {
		return Pulled{}, err
	}
	defer release()
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if _, err := s.settle(); err != nil { // of earlier pulls
		return Pulled{}, err
	}
	p, err := s.pull(ctx, ref, parsed, want, o)
	return p, s.tidyIfFull(err)
}

func (s *Store) pull(ctx context.Context, ref string, parsed name.Reference, want v1.Platform, o PullOptions) (Pulled, error) {
	file, err := registry.Read(s.file)
	if err != nil {
		return Pulled{}, err
	}
	sources, err := file.Sources(parsed, o.Auth)
	if err != nil {
		return Pulled{}, err
	}
	var failed error
	for _, from := range sources {
		p, err := s.pullFrom(ctx, parsed, from, want, o.Progress)
		from.Close()
		if err == nil {
			return p, nil
		}
		failed = registry.Explain("pull", ref, from.Ref, err)
		if ctx.Err() != nil {
			break
		}
		s.log.Debug("source failed", "image", ref, "source", from.Ref.Name(), "err", err)
	}
	return Pulled{}, failed
}

func (s *Store) pullFrom(ctx context.Context, ref name.Reference, from *registry.Source, want v1.Platform, progress func(Progress)) (Pulled, error) {
	found, err := from.Get(ctx)
	if err != nil {
		return Pulled{}, err
	}
	p := Pulled{Name: names.Spell(ref), Digest: found.Digest.String()}
	a, err := fetchImage(ctx, from, found, want, names.Repository(ref.Context()))
	if err != nil {
		return p, err
	}
	before, err := s.index.Tag(p.Name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return p, err
	}
	unfinished, err := s.Lease(ctx, unfinishedPrefix+p.Name)
	if err != nil {
		return p, err
	}
	if err := unfinished.Hold(layersOf(a)...); err != nil {
		return p, err
	}
	r, err := s.arrive(ctx, a, []string{p.Name}, p.Digest, progress)
	if err == nil || !interrupted(err) { // what is broken is not worth keeping
		err = errors.Join(err, unfinished.Release())
	}
	p.ID, p.New = r.ID, before.Image != r.ID
	return p, err
}

// interrupted tells whether the same pull may succeed later.
func interrupted(err error) bool {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, download.ErrAnother) {
		return false
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.As(err, new(interface{ Timeout() bool }))
}

// layersOf are the digests of an image's layers, if its config can be read.
func layersOf(a arrival) []string {
	r, err := a.record()
	if err != nil {
		return nil
	}
	return r.Layers
}

// indexesDeep bounds indexes in indexes.
const indexesDeep = 3

// fetchImage finds the image for a platform and reads its manifest and config.
func fetchImage(ctx context.Context, from *registry.Source, found *remote.Descriptor, want v1.Platform, repository string) (arrival, error) {
	for depth := 0; found.MediaType.IsIndex(); depth++ {
		if depth == indexesDeep {
			return arrival{}, fmt.Errorf("its indexes are nested more than %d deep", indexesDeep)
		}
		next, err := ofIndex(found.Manifest, want)
		if err != nil {
			return arrival{}, err
		}
		if found, err = from.GetDigest(ctx, next); err != nil {
			return arrival{}, err
		}
	}
	m, err := parseManifest(found.MediaType, found.Manifest)
	if err != nil {
		return arrival{}, err
	}
	a := arrival{manifest: found.Manifest, mediaType: string(found.MediaType), want: want, from: repository}
	if a.config, err = from.Config(ctx, m.Config); err != nil {
		return a, err
	}
	for _, d := range m.Layers {
		a.layers = append(a.layers, incoming{desc: d, remote: true, open: func(ctx context.Context, at int64) (io.ReadCloser, error) {
			return from.Blob(ctx, d, at)
		}})
	}
	return a, nil
}

// ofIndex is the digest of the image for a platform.
func ofIndex(raw []byte, want v1.Platform) (v1.Hash, error) {
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return v1.Hash{}, fmt.Errorf("index: %w", err)
	}
	d, err := platform.Choose(index, want)
	return d.Digest, err
}

// layersMost bounds the layers of an image: overlayfs takes 500 lower directories.
const layersMost = 500

// parseManifest reads the manifest of one image (Docker's schema 2 or OCI's) and says what is wrong with it.
func parseManifest(mediaType types.MediaType, raw []byte) (*v1.Manifest, error) {
	if mediaType == types.DockerManifestSchema1 || mediaType == types.DockerManifestSchema1Signed {
		return nil, errors.New("its manifest has the old schema 1, which holds no image config: push it again")
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if m.Config.Digest.Algorithm != "sha256" {
		return nil, fmt.Errorf("manifest: config has no sha256 digest (media type %q): it is no container image", mediaType)
	}
	if !m.Config.MediaType.IsConfig() && m.Config.MediaType != "" {
		return nil, fmt.Errorf("manifest: its config is %q: it is no container image", m.Config.MediaType)
	}
	if len(m.Layers) > layersMost {
		return nil, fmt.Errorf("manifest: it has %d layers, more than the %d that can be mounted", len(m.Layers), layersMost)
	}
	for _, d := range m.Layers {
		if d.Digest.Algorithm != "sha256" || d.Size < 0 {
			return nil, fmt.Errorf("manifest: layer %q of %d bytes is none", d.Digest, d.Size)
		}
	}
	return m, nil
}

// RemoteTags lists the tags that a repository has at its registry or the first mirror that answers.
func (s *Store) RemoteTags(ctx context.Context, repository string, auth *cri.AuthConfig) ([]string, error) {
	ref, err := names.Parse(repository)
	if err != nil {
		return nil, err
	}
	file, err := registry.Read(s.file)
	if err != nil {
		return nil, err
	}
	sources, err := file.Sources(ref, auth)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, from := range sources {
		tags, err := from.Tags(ctx)
		from.Close()
		if err == nil {
			return tags, nil
		}
		failed = registry.Explain("list tags of", repository, from.Ref, err)
	}
	return nil, failed
}
