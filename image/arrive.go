package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"dhow/image/download"
	"dhow/image/platform"
	"dhow/image/records"
	"dhow/internal/filelock"
)

// layersAtOnce bounds the parallel downloads, uploads and unpackings of one image.
const layersAtOnce = 4

// arrival is an image that comes into the store, from a registry or an archive.
type arrival struct {
	config    []byte
	manifest  []byte // empty if there is none
	mediaType string
	want      v1.Platform
	layers    []incoming // lowest first, as the config's diff ids
	from      string     // repository, or empty
}

// incoming is one layer of it.
type incoming struct {
	desc v1.Descriptor
	// open reads the archive from some byte on.
	open func(ctx context.Context, from int64) (io.ReadCloser, error)
	// remote ones are kept when they come in part, and go on later.
	remote bool
}

// arrive stores an image with all its layers under names, which are in full; digest is by which it was asked for.
func (s *Store) arrive(ctx context.Context, a arrival, full []string, digest string, progress func(Progress)) (records.Image, error) {
	r, err := a.record()
	if err != nil {
		return r, err
	}
	lease, err := s.Lease(ctx, "")
	if err != nil {
		return r, err
	}
	defer lease.End()
	if err := lease.Hold(r.Layers...); err != nil {
		return r, err
	}
	if err := s.fail("lease taken"); err != nil {
		return r, err
	}
	if err := s.addLayers(ctx, lease, r, a, progress); err != nil {
		return r, err
	}
	if err := s.noteBlobs(r, a); err != nil {
		return r, err
	}
	return r, s.publishing(func() error { return s.putImage(r, full, digest) })
}

// record describes the image, or says why it is none.
func (a arrival) record() (records.Image, error) {
	r := records.Image{ID: digestOf(a.config), Raw: a.config, Manifest: a.manifest, MediaType: a.mediaType, Stored: time.Now().UTC()}
	spec, err := r.Spec()
	if err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) || len(a.config) == 0 {
			return r, fmt.Errorf("%w: it is no image configuration", err)
		}
		return r, err
	}
	is := v1.Platform{OS: spec.OS, Architecture: spec.Architecture, Variant: spec.Variant}
	if is.OS == "" {
		is.OS = a.want.OS
	}
	if is.Architecture == "" {
		is.Architecture = a.want.Architecture
	}
	if is.OS != a.want.OS || is.Architecture != a.want.Architecture {
		here := "this machine is"
		if a.want.Architecture != platform.Here().Architecture {
			here = "asked for is"
		}
		return r, fmt.Errorf("it is an image for %s/%s, %s %s", is.OS, is.Architecture, here, a.want.String())
	}
	if n := len(spec.RootFS.DiffIDs); n != len(a.layers) {
		return r, fmt.Errorf("config %s names %d layers, the manifest %d", r.ID, n, len(a.layers))
	}
	for i, id := range spec.RootFS.DiffIDs {
		if !isDigest(id) {
			return r, fmt.Errorf("config %s: layer digest %q is not a sha256", r.ID, id)
		}
		size := a.layers[i].desc.Size
		if size < 0 {
			return r, fmt.Errorf("manifest: layer %s has %d bytes", a.layers[i].desc.Digest, size)
		}
		r.Layers = append(r.Layers, id)
		r.Compressed += uint64(size)
	}
	return r, nil
}

// addLayers adds them in parallel, each once.
func (s *Store) addLayers(ctx context.Context, lease *Lease, r records.Image, a arrival, progress func(Progress)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(layersAtOnce)
	seen := map[string]bool{}
	for i, in := range a.layers {
		if in.remote && !seen[r.Layers[i]] {
			progress(Progress{Digest: in.desc.Digest.String(), Status: "waiting", Total: in.desc.Size})
		}
		seen[r.Layers[i]] = true
	}
	clear(seen)
	for i, in := range a.layers {
		if seen[r.Layers[i]] {
			continue
		}
		seen[r.Layers[i]] = true
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.addLayer(ctx, lease, r.Layers[i], in, progress); err != nil {
				return fmt.Errorf("layer %s: %w", in.desc.Digest, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// addLayer unpacks a layer, which the lease holds, unless the store has it. What does not hash to diffID leaves nothing
// behind. Several that add one layer take turns.
func (s *Store) addLayer(ctx context.Context, lease *Lease, diffID string, in incoming, progress func(Progress)) error {
	p := Progress{Digest: in.desc.Digest.String(), Status: "exists", Total: in.desc.Size, Done: in.desc.Size}
	if s.have(diffID) {
		progress(p)
		return nil
	}
	unlock, err := filelock.Wait(ctx, s.path("locks", "layer-"+records.Bare(diffID)), func() {
		progress(Progress{Digest: p.Digest, Status: "waiting", Total: p.Total})
	})
	if err != nil {
		return err
	}
	defer unlock()
	if s.have(diffID) {
		progress(p)
		return nil
	}
	made, err := s.stageIncoming(ctx, lease, in, progress)
	if err != nil {
		return err
	}
	if got := made.meta.DiffID; got != diffID {
		return fmt.Errorf("layer has digest %s, its image says %s", got, diffID)
	}
	if err := s.publish(made); err != nil {
		return err
	}
	p.Status = "done"
	progress(p)
	return nil
}

// stageIncoming unpacks a layer while it comes.
func (s *Store) stageIncoming(ctx context.Context, lease *Lease, in incoming, progress func(Progress)) (staged, error) {
	if in.remote {
		return s.stageRemote(ctx, lease, in, progress)
	}
	body, err := in.open(ctx, 0)
	if err != nil {
		return staged{}, err
	}
	p := Progress{Digest: in.desc.Digest.String(), Status: "extracting", Total: in.desc.Size}
	made, err := s.stage(lease, &counting{Reader: &cancelable{ctx, body}, p: p, tell: progress})
	return made, errors.Join(err, body.Close())
}

// stageRemote downloads a blob into a file and unpacks it on the way. What has come stays when the connection breaks,
// and the next attempt, of this process or another, goes on there.
func (s *Store) stageRemote(ctx context.Context, lease *Lease, in incoming, progress func(Progress)) (staged, error) {
	hex := records.Bare(in.desc.Digest.String())
	unlock, err := filelock.Wait(ctx, s.path("locks", "blob-"+hex), func() {})
	if err != nil {
		return staged{}, err
	}
	defer unlock()
	path := s.path("downloads", hex)
	made, suspect, err := s.stageFile(ctx, lease, path, in, progress)
	if suspect {
		made, _, err = s.stageFile(ctx, lease, path, in, progress)
	}
	return made, err
}

// stageFile calls a failure suspect if it may come of what was there before, which a crash may have spoilt.
func (s *Store) stageFile(ctx context.Context, lease *Lease, path string, in incoming, progress func(Progress)) (made staged, suspect bool, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return made, false, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	d := download.New(f, in.desc.Size)
	before, err := d.Begin()
	if err != nil {
		cancel(nil)
		return made, false, errors.Join(err, f.Close())
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.End(d.Fetch(ctx, in.open, func(r io.Reader, before int64) io.Reader {
			p := Progress{Digest: in.desc.Digest.String(), Status: "downloading", Done: before, Total: in.desc.Size}
			progress(p)
			return &counting{Reader: r, p: p, tell: progress}
		}))
	}()
	made, err = s.stage(lease, d)
	if err == nil {
		err = d.Verify(in.desc.Digest.String())
	}
	broke := d.Broke()
	cancel(err) // who waits for the rest of a broken archive waits no more
	<-ended
	full := errors.Is(err, unix.ENOSPC)
	keep := err != nil && broke && !full
	suspect = err != nil && !keep && !full && before > 0
	err = errors.Join(err, f.Close())
	if !keep {
		err = errors.Join(err, ignoreMissing(os.Remove(path)))
	}
	return made, suspect, err
}

// noteBlobs remembers as what the layers came, for pushes.
func (s *Store) noteBlobs(r records.Image, a arrival) error {
	if a.from == "" {
		return nil
	}
	for i, in := range a.layers {
		b := blob{Digest: in.desc.Digest.String(), Size: in.desc.Size, MediaType: string(in.desc.MediaType)}
		if err := s.noteBlob(r.Layers[i], b, a.from); err != nil {
			return err
		}
	}
	return nil
}

// counting tells how much has been read, at most ten times a second.
type counting struct {
	io.Reader
	p    Progress
	tell func(Progress)
	last time.Time
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.p.Done += int64(n)
	if now := time.Now(); now.Sub(c.last) > 100*time.Millisecond {
		c.last = now
		c.tell(c.p)
	}
	return n, err
}
