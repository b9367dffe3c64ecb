package image

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"dhow/image/layers"
	"dhow/image/records"
)

// manifest is what a push writes last.
type manifest struct {
	raw       []byte
	mediaType types.MediaType
	config    v1.Descriptor
}

// RawManifest and MediaType are what the library wants to push it.
func (m manifest) RawManifest() ([]byte, error)        { return m.raw, nil }
func (m manifest) MediaType() (types.MediaType, error) { return m.mediaType, nil }

// manifestOf is the manifest that an image came by, if it still fits its layers, or else a new one.
func manifestOf(r records.Image, layers []v1.Descriptor) (manifest, error) {
	if m, ok := sameManifest(r, layers); ok {
		return m, nil
	}
	sum, err := v1.NewHash(r.ID)
	if err != nil {
		return manifest{}, err
	}
	config := v1.Descriptor{MediaType: types.OCIConfigJSON, Size: int64(len(r.Raw)), Digest: sum}
	raw, err := json.Marshal(v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: layers})
	return manifest{raw, types.OCIManifestSchema1, config}, err
}

func sameManifest(r records.Image, layers []v1.Descriptor) (manifest, bool) {
	old, err := parseManifest(types.MediaType(r.MediaType), r.Manifest)
	if err != nil || len(old.Layers) != len(layers) || old.Config.Digest.String() != r.ID {
		return manifest{}, false
	}
	for i, d := range old.Layers {
		if d.Digest != layers[i].Digest {
			return manifest{}, false
		}
	}
	return manifest{r.Manifest, types.MediaType(r.MediaType), old.Config}, true
}

// compress makes a layer's archive as registries keep it: the same bytes each time, since their digest is its name.
func (s *Store) compress(ctx context.Context, lease *Lease, id string) (path string, d v1.Descriptor, err error) {
	archive, err := layers.Archive(s.layer(id))
	if err != nil {
		return "", d, err
	}
	defer archive.Close()
	dir, err := lease.Work("push-")
	if err != nil {
		return "", d, err
	}
	path = filepath.Join(dir, "layer.tar.gz")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", d, err
	}
	hash, plain := sha256.New(), sha256.New()
	packed := gzip.NewWriter(io.MultiWriter(f, hash))
	_, err = io.Copy(packed, io.TeeReader(&cancelable{ctx, archive}, plain))
	err = errors.Join(err, packed.Close())
	info, statErr := f.Stat()
	if err = errors.Join(err, statErr, f.Close()); err != nil {
		return "", d, err
	}
	if got := hashText(plain); got != id {
		return "", d, errors.New("the layer is damaged: its files have digest " + got)
	}
	sum, err := v1.NewHash(hashText(hash))
	return path, v1.Descriptor{MediaType: types.OCILayer, Size: info.Size(), Digest: sum}, err
}
