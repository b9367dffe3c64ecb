package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/image/names"
	"dhow/image/records"
	"dhow/image/registry"
	"dhow/internal/filelock"
)

// PushOptions of Push.
type PushOptions struct {
	// Auth for the registry; if nil, registries.yaml and Docker's config.json say.
	Auth *cri.AuthConfig
	// Progress may be nil; it is called from several goroutines.
	Progress func(Progress)
}

// Pushed is the manifest that a push left at the registry.
type Pushed struct {
	Name   string // in full
	Digest string
	Size   int64 // of the manifest
}

// Push sends the image that a name stands for to the registry of that name. Blobs that the registry has are not sent:
// they are skipped, or mounted from another of its repositories. Equal images give equal manifests.
func (s *Store) Push(ctx context.Context, ref string, o PushOptions) (Pushed, error) {
	parsed, err := names.Parse(ref)
	if err != nil {
		return Pushed{}, err
	}
	target, ok := parsed.(name.Tag)
	if !ok {
		return Pushed{}, fmt.Errorf("%w: %q: push a tag, not a digest", ErrInvalidName, ref)
	}
	full := names.Spell(target)
	t, err := s.index.Tag(full)
	if err != nil {
		return Pushed{}, fmt.Errorf("push %s: %w", ref, ErrNotHere)
	}
	r, err := s.index.ByID(t.Image)
	if err != nil {
		return Pushed{}, fmt.Errorf("push %s: %w", ref, err)
	}
	file, err := registry.Read(s.file)
	if err != nil {
		return Pushed{}, err
	}
	to, err := file.Own(target, o.Auth)
	if err != nil {
		return Pushed{}, err
	}
	defer to.Close()
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	done, err := s.push(ctx, r, to, o.Progress)
	if err != nil {
		return done, registry.Explain("push", ref, to.Ref, err)
	}
	done.Name = full
	return done, s.noteDigest(t, done.Digest)
}

// noteDigest remembers as what an image was pushed, unless its name stands for another by now.
func (s *Store) noteDigest(t records.Tag, digest string) error {
	unlock, err := s.lock(filelock.Exclusive)
	if err != nil {
		return err
	}
	defer unlock()
	now, err := s.index.Tag(t.Ref)
	if err != nil || now.Image != t.Image {
		return ignoreMissing(err)
	}
	now.Digest = digest
	return s.index.PutTag(now)
}

func (s *Store) push(ctx context.Context, r records.Image, to *registry.Source, progress func(Progress)) (Pushed, error) {
	lease, err := s.Lease(ctx, "")
	if err != nil {
		return Pushed{}, err
	}
	defer lease.End()
	if err := lease.Hold(r.Layers...); err != nil {
		return Pushed{}, err
	}
	pusher, err := remote.NewPusher(to.Options(ctx)...)
	if err != nil {
		return Pushed{}, err
	}
	p := &pushing{store: s, lease: lease, to: to, pusher: pusher, progress: progress}
	layers, err := p.layers(ctx, r.Layers)
	if err != nil {
		return Pushed{}, err
	}
	m, err := manifestOf(r, layers)
	if err != nil {
		return Pushed{}, err
	}
	config := content{data: r.Raw, desc: m.config}
	if err := pusher.Upload(ctx, to.Ref.Context(), config); err != nil {
		return Pushed{}, fmt.Errorf("config: %w", err)
	}
	if err := pusher.Push(ctx, to.Ref, m); err != nil {
		return Pushed{}, fmt.Errorf("manifest: %w", err)
	}
	return Pushed{Digest: digestOf(m.raw), Size: int64(len(m.raw))}, nil
}

// pushing is one push under way.
type pushing struct {
	store    *Store
	lease    *Lease
	to       *registry.Source
	pusher   *remote.Pusher
	progress func(Progress)
}

// layers sends them in parallel, each once, and tells as what.
func (p *pushing) layers(ctx context.Context, ids []string) ([]v1.Descriptor, error) {
	sent := make([]v1.Descriptor, len(ids))
	first := map[string]int{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(layersAtOnce)
	for i, id := range ids {
		if _, ok := first[id]; ok {
			continue
		}
		first[id] = i
		p.progress(Progress{Digest: id, Status: "preparing", Total: -1})
		group.Go(func() error {
			var err error
			if sent[i], err = p.layer(ctx, id); err != nil {
				return fmt.Errorf("layer %s: %w", id, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, id := range ids {
		sent[i] = sent[first[id]]
	}
	return sent, nil
}

func (p *pushing) layer(ctx context.Context, id string) (v1.Descriptor, error) {
	known, err := p.store.blobs(id)
	if err != nil {
		return v1.Descriptor{}, err
	}
	for _, b := range known {
		d, err := p.there(ctx, id, b)
		if err != nil || d != nil {
			return *orZero(d), err
		}
	}
	d, err := p.upload(ctx, id)
	if err != nil {
		return d, err
	}
	p.progress(Progress{Digest: id, Status: "pushed", Done: d.Size, Total: d.Size})
	return d, p.note(id, d)
}

func orZero(d *v1.Descriptor) *v1.Descriptor {
	if d == nil {
		return &v1.Descriptor{}
	}
	return d
}

func (p *pushing) note(id string, d v1.Descriptor) error {
	b := blob{Digest: d.Digest.String(), Size: d.Size, MediaType: string(d.MediaType)}
	return p.store.noteBlob(id, b, names.Repository(p.to.Ref.Context()))
}

// there finds out whether the repository has a blob, or can take it from another one of its registry; nil if not.
func (p *pushing) there(ctx context.Context, id string, b blob) (*v1.Descriptor, error) {
	digest, err := v1.NewHash(b.Digest)
	if err != nil {
		return nil, err
	}
	d := v1.Descriptor{Digest: digest, Size: b.Size, MediaType: ociLayer(types.MediaType(b.MediaType))}
	repository := p.to.Ref.Context()
	remoteLayer, err := remote.Layer(repository.Digest(b.Digest), p.to.Options(ctx)...)
	if err != nil {
		return nil, err
	}
	if exists, err := partial.Exists(remoteLayer); err == nil && exists {
		p.progress(Progress{Digest: id, Status: "exists", Done: b.Size, Total: b.Size})
		return &d, p.note(id, d)
	}
	for _, other := range b.Repositories {
		parsed, err := names.Parse(other)
		if err != nil || parsed.Context().RegistryStr() != repository.RegistryStr() {
			continue
		}
		from := &remote.MountableLayer{Layer: content{desc: d}, Reference: parsed.Context().Digest(b.Digest)}
		if err := p.pusher.Upload(ctx, repository, from); err == nil {
			p.progress(Progress{Digest: id, Status: "mounted", Done: b.Size, Total: b.Size})
			return &d, p.note(id, d)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, nil
}

// upload compresses a layer, always to the same bytes, and sends it.
func (p *pushing) upload(ctx context.Context, id string) (v1.Descriptor, error) {
	f, d, err := p.store.compress(ctx, p.lease, id)
	if err != nil {
		return d, err
	}
	defer os.Remove(f)
	told := Progress{Digest: id, Status: "uploading", Total: d.Size}
	p.progress(told)
	layer := content{desc: d, open: func() (io.ReadCloser, error) {
		file, err := os.Open(f)
		if err != nil {
			return nil, err
		}
		return &readCloser{&counting{Reader: &cancelable{ctx, file}, p: told, tell: p.progress}, file}, nil
	}}
	return d, p.pusher.Upload(ctx, p.to.Ref.Context(), layer)
}

type readCloser struct {
	io.Reader
	io.Closer
}

// ociLayer is a layer's media type as OCI calls it.
func ociLayer(t types.MediaType) types.MediaType {
	switch {
	case strings.HasSuffix(string(t), "zstd"):
		return types.OCILayerZStd
	case t == types.OCIUncompressedLayer || t == types.DockerUncompressedLayer:
		return types.OCIUncompressedLayer
	default:
		return types.OCILayer
	}
}

// content is something to upload; the library calls it a layer.
type content struct {
	desc v1.Descriptor
	data []byte
	open func() (io.ReadCloser, error)
}

// errNotHere is why a mount that the registry does not do fails.
var errNotHere = errors.New("the blob is not here in this compression")

func (c content) Digest() (v1.Hash, error)             { return c.desc.Digest, nil }
func (c content) DiffID() (v1.Hash, error)             { return c.desc.Digest, nil }
func (c content) Size() (int64, error)                 { return c.desc.Size, nil }
func (c content) MediaType() (types.MediaType, error)  { return c.desc.MediaType, nil }
func (c content) Uncompressed() (io.ReadCloser, error) { return c.Compressed() }
func (c content) Compressed() (io.ReadCloser, error) {
	switch {
	case c.open != nil:
		return c.open()
	case c.data != nil:
		return io.NopCloser(strings.NewReader(string(c.data))), nil
	default:
		return nil, errNotHere
	}
}
