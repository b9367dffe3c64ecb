package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// layersAtOnce bounds the parallel downloads of one pull.
const layersAtOnce = 4

// PullImage implements Service.
func (s *Store) PullImage(ctx context.Context, ref string, auth *cri.AuthConfig, progress func(Progress)) (string, error) {
	parsed, err := parse(ref)
	if err != nil {
		return "", err
	}
	defer s.only(spell(parsed))()
	id, err := s.pull(ctx, ref, parsed, auth, progress)
	return id, s.tidyIfFull(err)
}

func (s *Store) pull(ctx context.Context, ref string, parsed name.Reference, auth *cri.AuthConfig, progress func(Progress)) (string, error) {
	unlock, err := s.lock(unix.LOCK_SH)
	if err != nil {
		return "", err
	}
	defer unlock()
	files, err := readRegistries(s.file)
	if err != nil {
		return "", err
	}
	sources, err := files.sources(parsed, auth)
	if err != nil {
		return "", err
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	var failed error
	for _, from := range sources {
		id, err := s.pullFrom(ctx, parsed, from, progress)
		if err == nil {
			return id, nil
		}
		failed = explain(ref, from.ref, err)
		if ctx.Err() != nil {
			break
		}
		s.log.Debug("source failed", "image", ref, "source", from.ref.Name(), "err", err)
	}
	return "", failed
}

func (s *Store) pullFrom(ctx context.Context, ref name.Reference, from source, progress func(Progress)) (string, error) {
	options := []remote.Option{
		remote.WithContext(ctx), remote.WithTransport(from.transport), remote.WithUserAgent("dhow"),
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}),
	}
	if from.auth != nil {
		options = append(options, remote.WithAuth(from.auth))
	} else {
		options = append(options, remote.WithAuthFromKeychain(authn.DefaultKeychain))
	}
	found, err := remote.Get(from.ref, options...)
	if err != nil {
		return "", err
	}
	image, err := found.Image()
	if err != nil {
		return "", otherPlatforms(found, err)
	}
	if found.MediaType == types.DockerManifestSchema1 || found.MediaType == types.DockerManifestSchema1Signed {
		return "", errors.New("its manifest has the old schema 1, which holds no image config: push it again")
	}
	return s.add(ctx, image, spell(ref), found.Digest.String(), progress)
}

// add stores an image with all its layers under a name.
func (s *Store) add(ctx context.Context, image v1.Image, ref, digest string, progress func(Progress)) (string, error) {
	r, layers, err := describeImage(image)
	if err != nil {
		return "", err
	}
	if err := s.addLayers(ctx, r, layers, progress); err != nil {
		return "", err
	}
	if err := s.putRecord(r); err != nil {
		return "", err
	}
	return r.ID, s.putTag(tag{Ref: ref, Image: r.ID, Digest: digest})
}

func describeImage(image v1.Image) (record, []v1.Layer, error) {
	raw, err := image.RawConfigFile()
	if err != nil {
		return record{}, nil, fmt.Errorf("read config: %w", err)
	}
	id, err := image.ConfigName()
	if err != nil {
		return record{}, nil, err
	}
	r := record{ID: id.String()}
	if err := json.Unmarshal(raw, &r.Config); err != nil {
		return r, nil, fmt.Errorf("config %s: %w", id, err)
	}
	if c := r.Config; c.OS != "" && c.OS != "linux" || c.Architecture != "" && c.Architecture != runtime.GOARCH {
		return r, nil, fmt.Errorf("it is an image for %s/%s, this machine is linux/%s", c.OS, c.Architecture, runtime.GOARCH)
	}
	if r.Config.Created != nil {
		r.Created = *r.Config.Created
	}
	layers, err := image.Layers()
	if err != nil {
		return r, nil, fmt.Errorf("read layers: %w", err)
	}
	ids := r.Config.RootFS.DiffIDs
	if len(ids) != len(layers) {
		return r, nil, fmt.Errorf("config %s names %d layers, the manifest %d", id, len(ids), len(layers))
	}
	for i, layer := range layers {
		if err := ids[i].Validate(); err != nil || ids[i].Algorithm() != "sha256" {
			return r, nil, fmt.Errorf("config %s: layer digest %q is not a sha256", id, ids[i])
		}
		r.Layers = append(r.Layers, ids[i].String())
		size, err := layer.Size()
		if err != nil {
			return r, nil, err
		}
		r.Size += uint64(size)
	}
	return r, layers, nil
}

// addLayers adds them in parallel; an image without layers gets the empty one.
func (s *Store) addLayers(ctx context.Context, r record, layers []v1.Layer, progress func(Progress)) error {
	if len(layers) == 0 {
		return s.addLayer(emptyLayer, func() (io.ReadCloser, error) { return io.NopCloser(emptyArchive()), nil })
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(layersAtOnce)
	for i, layer := range layers {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return s.addOne(r.Layers[i], layer, progress)
		})
	}
	return group.Wait()
}

func (s *Store) addOne(diffID string, layer v1.Layer, progress func(Progress)) error {
	digest, err := layer.Digest()
	if err != nil {
		return err
	}
	size, err := layer.Size()
	if err != nil {
		return err
	}
	p := Progress{Digest: digest.String(), Status: "exists", Total: size, Done: size}
	if s.have(diffID) {
		progress(p)
		return nil
	}
	p.Status, p.Done = "downloading", 0
	err = s.addLayer(diffID, func() (io.ReadCloser, error) {
		body, err := layer.Compressed()
		if err != nil {
			return nil, err
		}
		return &counting{ReadCloser: body, p: p, tell: progress}, nil
	})
	if err != nil {
		return fmt.Errorf("layer %s: %w", digest, err)
	}
	p.Status, p.Done = "done", size
	progress(p)
	return nil
}

// counting tells how much has been read, at most ten times a second.
type counting struct {
	io.ReadCloser
	p    Progress
	tell func(Progress)
	last time.Time
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.p.Done += int64(n)
	if now := time.Now(); now.Sub(c.last) > 100*time.Millisecond {
		c.last = now
		c.tell(c.p)
	}
	return n, err
}
