// Package records keeps what images are and which names they have: a small file for each, which appears whole.
package records

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dhow/image/names"
	"dhow/image/registry"
	"dhow/image/spec"
	"dhow/internal/atomicfile"
)

// Image is what the store knows of one image.
type Image struct {
	ID         string    `json:"id"`         // digest of the config, "sha256:…"
	Layers     []string  `json:"layers"`     // diff ids, lowest first
	Compressed uint64    `json:"compressed"` // bytes of the archives it came as; 0 for one made here
	Stored     time.Time `json:"stored"`
	Raw        []byte    `json:"raw"` // the config, byte for byte
	// Manifest is the one it came by, so that pushing it again gives the same digest.
	Manifest  []byte `json:"manifest,omitempty"`
	MediaType string `json:"mediaType,omitempty"`
}

// Spec is the image's configuration.
func (r Image) Spec() (spec.Image, error) {
	var made spec.Image
	if err := json.Unmarshal(r.Raw, &made); err != nil {
		return made, fmt.Errorf("config %s: %w", r.ID, err)
	}
	return made, nil
}

// Tag is a name of an image, and the manifest by which it came.
type Tag struct {
	Ref    string    `json:"ref"`   // with registry and tag, or with digest
	Image  string    `json:"image"` // Image.ID
	Digest string    `json:"digest,omitempty"`
	At     time.Time `json:"at"`
}

// ErrAmbiguous is the beginning of several ids.
var ErrAmbiguous = errors.New("multiple IDs found with provided prefix")

// Bare is a digest without its algorithm.
func Bare(digest string) string { return strings.TrimPrefix(digest, "sha256:") }

// HashName makes a file's name of any name.
func HashName(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// Dir is where the records of one store are: Images and Tags; Tmp is for those in the making.
type Dir struct{ Images, Tags, Tmp string }

func (d Dir) imageFile(id string) string { return filepath.Join(d.Images, Bare(id)+".json") }
func (d Dir) tagFile(ref string) string  { return filepath.Join(d.Tags, HashName(ref)+".json") }

// Put records an image.
func (d Dir) Put(r Image) error { return Write(d.Tmp, d.imageFile(r.ID), r) }

// Remove forgets an image; an absent one is no error.
func (d Dir) Remove(r Image) error { return ignoreMissing(os.Remove(d.imageFile(r.ID))) }

// Tag reads what a name, in full, points to; fs.ErrNotExist.
func (d Dir) Tag(ref string) (Tag, error) { return Read[Tag](d.tagFile(ref)) }

// PutTag records a name, as given now.
func (d Dir) PutTag(t Tag) error {
	t.At = time.Now().UTC()
	return Write(d.Tmp, d.tagFile(t.Ref), t)
}

// RemoveTag forgets a name; an absent one is no error.
func (d Dir) RemoveTag(t Tag) error { return ignoreMissing(os.Remove(d.tagFile(t.Ref))) }

// Write makes a file hold value as JSON, or leaves it as it was; tmp is a folder of the same file system.
func Write(tmp, path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := atomicfile.WriteBy(tmp, path, data); err != nil {
		return fmt.Errorf("write image record: %w", err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Read reads the JSON in a file.
func Read[T any](path string) (T, error) {
	var value T
	data, err := os.ReadFile(path)
	if err != nil {
		return value, err
	}
	if err := json.Unmarshal(data, &value); err != nil {
		return value, fmt.Errorf("%s: %w", path, err)
	}
	return value, nil
}

// Names lists what in a folder begins and ends so. (filepath.Glob would read the folder's own path as a pattern, and takes a
// folder that it cannot read for empty.)
func Names(dir, prefix, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), suffix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// OfTheMoment tells an error that says nothing of what was to be read: no more files could be opened, or no memory was there.
func OfTheMoment(err error) bool {
	for _, number := range []unix.Errno{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EINTR, unix.EACCES, unix.EPERM} {
		if errors.Is(err, number) {
			return true
		}
	}
	return false
}

// readAll reads every record in a folder; one that another process removes meanwhile is left out.
func readAll[T any](dir string) ([]T, error) {
	names, err := Names(dir, "", ".json")
	if err != nil {
		return nil, err
	}
	var all []T
	for _, name := range names {
		value, err := Read[T](filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, value)
	}
	return all, nil
}

// All are the images.
func (d Dir) All() ([]Image, error) { return readAll[Image](d.Images) }

// AllTags are the names.
func (d Dir) AllTags() ([]Tag, error) { return readAll[Tag](d.Tags) }

// Find resolves what a user may call an image: its id or the beginning of one, a name, a name with a digest.
// ErrNotFound when nothing is called so.
func (d Dir) Find(ref string) (Image, error) {
	if hex := Bare(ref); isHex(hex) && len(hex) == 64 {
		return d.ByID("sha256:" + hex)
	}
	name, nameErr := names.Normalize(ref)
	if nameErr == nil {
		if t, err := d.Tag(name); err == nil {
			return d.ByID(t.Image)
		}
		if r, err := d.byDigest(name); !errors.Is(err, registry.ErrNotFound) {
			return r, err
		}
	}
	if hex := Bare(ref); isHex(hex) && len(hex) >= 3 {
		return d.byPrefix(hex)
	}
	if nameErr != nil {
		return Image{}, nameErr
	}
	return Image{}, fmt.Errorf("%s: %w", ref, registry.ErrNotFound)
}

// ByID finds an image by its whole id. registry.ErrNotFound.
func (d Dir) ByID(id string) (Image, error) {
	r, err := Read[Image](d.imageFile(id))
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("%s: %w", id, registry.ErrNotFound)
	}
	return r, err
}

// byDigest finds what was pulled or pushed as repository@digest by a tag.
func (d Dir) byDigest(full string) (Image, error) {
	repository, _, digest := names.Cut(full)
	if digest == "" {
		return Image{}, registry.ErrNotFound
	}
	all, err := d.AllTags()
	if err != nil {
		return Image{}, err
	}
	for _, t := range all {
		if of, _, _ := names.Cut(t.Ref); of == repository && t.Digest == digest {
			return d.ByID(t.Image)
		}
	}
	return Image{}, registry.ErrNotFound
}

func (d Dir) byPrefix(prefix string) (Image, error) {
	found, err := Names(d.Images, prefix, ".json")
	if err != nil {
		return Image{}, err
	}
	switch len(found) {
	case 0:
		return Image{}, fmt.Errorf("%s: %w", prefix, registry.ErrNotFound)
	case 1:
		return Read[Image](filepath.Join(d.Images, found[0]))
	default:
		return Image{}, fmt.Errorf("%w: %s is the beginning of %d image ids: give more of it", ErrAmbiguous, prefix, len(found))
	}
}

func isHex(text string) bool {
	for _, c := range text {
		if !strings.ContainsRune("0123456789abcdef", c) {
			return false
		}
	}
	return text != ""
}
