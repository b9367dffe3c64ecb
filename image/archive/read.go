package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"dhow/image/names"
)

// Image is one image of an archive.
type Image struct {
	Names     []string // in full; none for one without a name
	Digest    string   // that the archive's index has for it; empty in archives of docker save
	Config    []byte
	Manifest  []byte // empty in archives of docker save
	MediaType string
	Layers    []Layer // lowest first
}

// Layer is one of its layers.
type Layer struct {
	Desc v1.Descriptor
	// Open reads its archive, compressed or not. What it reads is not verified.
	Open func() (io.ReadCloser, error)
}

// Archive is opened by Open and OpenDir.
type Archive struct {
	files files
	close func() error
}

// Open opens a tar file of an OCI layout or of docker save, not compressed.
func Open(f *os.File) (*Archive, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	t, err := newTarball(f, f)
	if err != nil {
		return nil, err
	}
	return &Archive{t, func() error { return nil }}, nil
}

// OpenDir opens a folder that is an OCI layout.
func OpenDir(dir string) (*Archive, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Archive{directory{root}, root.Close}, nil
}

// Close frees what Open took.
func (a *Archive) Close() error { return a.close() }

// Images gives the images for a platform, one after another, until an error: choose picks one of an index of many.
func (a *Archive) Images(choose func(*v1.IndexManifest) (v1.Descriptor, error)) iter.Seq2[Image, error] {
	return func(yield func(Image, error) bool) {
		each := a.docker
		if content, _, err := a.files.open(ocispec.ImageLayoutFile); err == nil {
			content.Close()
			each = func(yield func(Image, error) bool) error { return a.layout(choose, yield) }
		}
		if err := each(yield); err != nil {
			yield(Image{}, err)
		}
	}
}

func (a *Archive) layout(choose func(*v1.IndexManifest) (v1.Descriptor, error), yield func(Image, error) bool) error {
	raw, err := document(a.files, ocispec.ImageIndexFile)
	if err != nil {
		return fmt.Errorf("OCI layout: %w", err)
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("OCI layout: index.json: %w", err)
	}
	groups, err := named(index, choose)
	if err != nil {
		return err
	}
	for _, g := range groups {
		image, err := a.manifest(g.desc, choose, 0)
		if err != nil {
			return fmt.Errorf("%s: %w", g, err)
		}
		image.Names, image.Digest = g.names, g.desc.Digest.String()
		if !yield(image, nil) {
			return nil
		}
	}
	return nil
}

// group is an entry of a layout's index with all the names that it has.
type group struct {
	desc  v1.Descriptor
	names []string
}

func (g *group) String() string {
	if len(g.names) > 0 {
		return g.names[0]
	}
	return g.desc.Digest.String()
}

// named groups the entries by digest; of entries with one name and several platforms, it takes the one to choose.
func named(index *v1.IndexManifest, choose func(*v1.IndexManifest) (v1.Descriptor, error)) ([]*group, error) {
	entries, order := map[string][]v1.Descriptor{}, []string{}
	for _, d := range index.Manifests {
		name := nameOf(d)
		if name == "" && d.Platform != nil && d.Platform.OS == "unknown" {
			continue // attestations
		}
		key := name
		if name == "" && d.Platform == nil {
			key = "@" + d.Digest.String()
		}
		if entries[key] == nil {
			order = append(order, key)
		}
		entries[key] = append(entries[key], d)
	}
	var groups []*group
	known := map[v1.Hash]*group{}
	for _, key := range order {
		d := entries[key][0]
		if len(entries[key]) > 1 || d.Platform != nil && !d.MediaType.IsIndex() {
			var err error
			if d, err = choose(&v1.IndexManifest{Manifests: entries[key]}); err != nil {
				return nil, err
			}
		}
		g := known[d.Digest]
		if g == nil {
			g = &group{desc: d}
			known[d.Digest], groups = g, append(groups, g)
		}
		if key != "" && key[0] != '@' {
			g.names = append(g.names, key)
		}
	}
	return groups, nil
}

// nameOf is the name that an index gives an image: containerd's annotation has it whole; OCI's may be anything, and is a name
// if it can be one.
func nameOf(d v1.Descriptor) string {
	for _, key := range []string{"io.containerd.image.name", ocispec.AnnotationRefName} {
		if full, err := names.Normalize(d.Annotations[key]); err == nil {
			return full
		}
	}
	return ""
}

const indexesDeep = 3

// manifest opens an entry of an index; of an index inside it, the image to choose.
func (a *Archive) manifest(d v1.Descriptor, choose func(*v1.IndexManifest) (v1.Descriptor, error), depth int) (Image, error) {
	raw, err := a.blob(d)
	if err != nil {
		return Image{}, err
	}
	if d.MediaType.IsIndex() {
		index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
		if err != nil {
			return Image{}, fmt.Errorf("index %s: %w", d.Digest, err)
		}
		next, err := choose(index)
		if err != nil {
			return Image{}, err
		}
		if depth == indexesDeep {
			return Image{}, fmt.Errorf("its indexes are nested more than %d deep", indexesDeep)
		}
		return a.manifest(next, choose, depth+1)
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return Image{}, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	image := Image{Manifest: raw, MediaType: string(d.MediaType)}
	if image.Config, err = a.blob(m.Config); err != nil {
		return image, err
	}
	for _, layer := range m.Layers {
		if _, err := blobPath(layer.Digest); err != nil {
			return image, err
		}
		image.Layers = append(image.Layers, Layer{Desc: layer, Open: func() (io.ReadCloser, error) { return a.openBlob(layer) }})
	}
	return image, nil
}

func blobPath(h v1.Hash) (string, error) {
	if sum, err := hex.DecodeString(h.Hex); h.Algorithm != "sha256" || err != nil || len(sum) != sha256.Size {
		return "", fmt.Errorf("digest %q is not a sha256", h)
	}
	return "blobs/sha256/" + h.Hex, nil
}

func (a *Archive) openBlob(d v1.Descriptor) (io.ReadCloser, error) {
	path, err := blobPath(d.Digest)
	if err != nil {
		return nil, err
	}
	content, size, err := a.files.open(path)
	if err != nil {
		return nil, err
	}
	if size != d.Size {
		return nil, errors.Join(fmt.Errorf("%s has %d bytes, its manifest says %d", path, size, d.Size), content.Close())
	}
	return content, nil
}

// blob reads a small blob and verifies it.
func (a *Archive) blob(d v1.Descriptor) ([]byte, error) {
	path, err := blobPath(d.Digest)
	if err != nil {
		return nil, err
	}
	data, err := document(a.files, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the layout lacks %s", path)
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != d.Digest.Hex {
		return nil, fmt.Errorf("%s does not have the digest of its name", path)
	}
	return data, nil
}

// dockerEntry is one image in manifest.json.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (a *Archive) docker(yield func(Image, error) bool) error {
	raw, err := document(a.files, "manifest.json")
	if err != nil {
		return fmt.Errorf("it is neither an OCI layout nor an archive of docker save: %w", err)
	}
	var entries []dockerEntry
	if err := json.Unmarshal(raw, &entries); err != nil {
		return fmt.Errorf("manifest.json: %w", err)
	}
	for _, e := range entries {
		image, err := a.dockerImage(e)
		if err != nil {
			return fmt.Errorf("manifest.json: %w", err)
		}
		if !yield(image, nil) {
			return nil
		}
	}
	return nil
}

func (a *Archive) dockerImage(e dockerEntry) (Image, error) {
	var image Image
	for _, t := range e.RepoTags {
		full, err := names.Normalize(t)
		if err != nil {
			return image, err
		}
		image.Names = append(image.Names, full)
	}
	var err error
	if image.Config, err = document(a.files, e.Config); err != nil {
		return image, fmt.Errorf("config of %v: %w", e.RepoTags, err)
	}
	var config struct {
		RootFS struct {
			DiffIDs []v1.Hash `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(image.Config, &config); err != nil {
		return image, fmt.Errorf("%s: %w", e.Config, err)
	}
	for i, name := range e.Layers {
		content, size, err := a.files.open(name)
		if err != nil {
			return image, fmt.Errorf("layer of %v: %w", e.RepoTags, err)
		}
		if err := content.Close(); err != nil {
			return image, err
		}
		layer := Layer{Desc: v1.Descriptor{Size: size}, Open: func() (io.ReadCloser, error) {
			content, _, err := a.files.open(name)
			return content, err
		}}
		if i < len(config.RootFS.DiffIDs) {
			layer.Desc.Digest = config.RootFS.DiffIDs[i]
		}
		image.Layers = append(image.Layers, layer)
	}
	return image, nil
}
