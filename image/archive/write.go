package archive

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dhow/image/names"
)

// Format of an archive.
type Format string

// The formats that Write knows. Docker's is an OCI layout as well.
const (
	Docker Format = "docker-archive"
	OCI    Format = "oci-archive"
)

// Source is an image to write.
type Source struct {
	Names                     []string // in full
	Config                    []byte
	Layers                    []SourceLayer // lowest first
	OS, Architecture, Variant string
}

// SourceLayer is a layer's plain archive.
type SourceLayer struct {
	DiffID string
	Size   int64 // bytes of the archive
	Open   func() (io.ReadCloser, error)
}

// Write makes an archive of images. Equal images give equal archives.
func Write(out io.Writer, format Format, images []Source) error {
	w := &writer{tar: tar.NewWriter(out), written: map[string]bool{}}
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := w.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: epoch()}); err != nil {
			return err
		}
	}
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{}}
	docker := []dockerEntry{}
	for _, image := range images {
		desc, entry, err := w.image(image)
		if err != nil {
			return err
		}
		index.Manifests = append(index.Manifests, withNames(desc, image.Names)...)
		docker = append(docker, entry)
	}
	if err := w.json(ocispec.ImageIndexFile, index); err != nil {
		return err
	}
	if format == Docker {
		if err := w.json("manifest.json", docker); err != nil {
			return err
		}
	}
	if err := w.json(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}); err != nil {
		return err
	}
	return w.tar.Close()
}

func epoch() time.Time { return time.Unix(0, 0) }

type writer struct {
	tar     *tar.Writer
	written map[string]bool
}

func (w *writer) image(image Source) (v1.Descriptor, dockerEntry, error) {
	entry := dockerEntry{RepoTags: []string{}, Layers: []string{}}
	for _, name := range image.Names {
		entry.RepoTags = append(entry.RepoTags, names.Familiar(name))
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{}}
	var err error
	if m.Config, err = w.blob(image.Config, types.OCIConfigJSON); err != nil {
		return m.Config, entry, err
	}
	entry.Config = blobName(m.Config.Digest.String())
	for _, layer := range image.Layers {
		if err := w.layer(layer); err != nil {
			return m.Config, entry, fmt.Errorf("layer %s: %w", layer.DiffID, err)
		}
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: types.OCIUncompressedLayer, Digest: hash(layer.DiffID), Size: layer.Size})
		entry.Layers = append(entry.Layers, blobName(layer.DiffID))
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return m.Config, entry, err
	}
	desc, err := w.blob(raw, types.OCIManifestSchema1)
	desc.Platform = &v1.Platform{OS: image.OS, Architecture: image.Architecture, Variant: image.Variant}
	return desc, entry, err
}

// withNames is an entry of the index for each name.
func withNames(d v1.Descriptor, full []string) []v1.Descriptor {
	if len(full) == 0 {
		return []v1.Descriptor{d}
	}
	var all []v1.Descriptor
	for _, name := range full {
		own := d
		own.Annotations = map[string]string{"io.containerd.image.name": name, ocispec.AnnotationRefName: name}
		all = append(all, own)
	}
	return all
}

func hash(digest string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: digest[len("sha256:"):]} }

func blobName(digest string) string { return "blobs/sha256/" + digest[len("sha256:"):] }

func (w *writer) json(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return w.file(name, data)
}

func (w *writer) file(name string, data []byte) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: epoch()}
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.tar.Write(data)
	return err
}

func (w *writer) blob(data []byte, mediaType types.MediaType) (v1.Descriptor, error) {
	sum := sha256.Sum256(data)
	d := v1.Descriptor{MediaType: mediaType, Size: int64(len(data)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
	name := blobName(d.Digest.String())
	if w.written[name] {
		return d, nil
	}
	w.written[name] = true
	return d, w.file(name, data)
}

func (w *writer) layer(layer SourceLayer) error {
	name := blobName(layer.DiffID)
	if w.written[name] {
		return nil
	}
	w.written[name] = true
	content, err := layer.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: layer.Size, ModTime: epoch()}
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(w.tar, content)
	return err
}
