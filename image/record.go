package image

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

	"dhow/image/names"
)

// record is what the store knows of one image.
type record struct {
	ID         string    `json:"id"`         // digest of the config, "sha256:…"
	Layers     []string  `json:"layers"`     // diff ids, lowest first
	Compressed uint64    `json:"compressed"` // bytes of the archives it came as; 0 for one made here
	Stored     time.Time `json:"stored"`
	Raw        []byte    `json:"raw"` // the config, byte for byte
	// Manifest is the one it came by, so that pushing it again gives the same digest.
	Manifest  []byte `json:"manifest,omitempty"`
	MediaType string `json:"mediaType,omitempty"`
}

// spec is the image's configuration.
func (r record) spec() (Spec, error) {
	var spec Spec
	if err := json.Unmarshal(r.Raw, &spec); err != nil {
		return spec, fmt.Errorf("config %s: %w", r.ID, err)
	}
	return spec, nil
}

// tag is a name of an image, and the manifest by which it came.
type tag struct {
	Ref    string    `json:"ref"`   // with registry and tag, or with digest
	Image  string    `json:"image"` // record.ID
	Digest string    `json:"digest,omitempty"`
	At     time.Time `json:"at"`
}

func bare(digest string) string { return strings.TrimPrefix(digest, "sha256:") }

func hashName(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

func (s *Store) putRecord(r record) error { return s.put(s.path("images", bare(r.ID)+".json"), r) }
func (s *Store) putTag(t tag) error {
	t.At = time.Now().UTC()
	return s.put(s.path("tags", hashName(t.Ref)+".json"), t)
}

func (s *Store) removeTag(t tag) error {
	return ignoreMissing(os.Remove(s.path("tags", hashName(t.Ref)+".json")))
}

// put makes a file hold value as JSON, or leaves it as it was.
func (s *Store) put(path string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.path("tmp"), "record-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write image record: %w", err), ignoreMissing(os.Remove(f.Name())))
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func read[T any](path string) (T, error) {
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

// readAll reads every record in a folder; one that another process removes meanwhile is left out.
func readAll[T any](dir string) ([]T, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []T
	for _, path := range paths {
		value, err := read[T](path)
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

func (s *Store) records() ([]record, error) { return readAll[record](s.path("images")) }
func (s *Store) tags() ([]tag, error)       { return readAll[tag](s.path("tags")) }

// find resolves what a user may call an image: its id or the beginning of one, a name, a name with a digest.
// ErrNotFound when nothing is called so.
func (s *Store) find(ref string) (record, error) {
	if hex := bare(ref); isHex(hex) && len(hex) == 64 {
		return s.byID("sha256:" + hex)
	}
	name, nameErr := names.Normalize(ref)
	if nameErr == nil {
		if t, err := read[tag](s.path("tags", hashName(name)+".json")); err == nil {
			return s.byID(t.Image)
		}
		if r, err := s.byDigest(name); !errors.Is(err, ErrNotFound) {
			return r, err
		}
	}
	if hex := bare(ref); isHex(hex) && len(hex) >= 3 {
		return s.byPrefix(hex)
	}
	if nameErr != nil {
		return record{}, nameErr
	}
	return record{}, fmt.Errorf("%s: %w", ref, ErrNotFound)
}

func (s *Store) byID(id string) (record, error) {
	r, err := read[record](s.path("images", bare(id)+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("%s: %w", id, ErrNotFound)
	}
	return r, err
}

// byDigest finds what was pulled or pushed as repository@digest by a tag.
func (s *Store) byDigest(full string) (record, error) {
	repository, _, digest := names.Cut(full)
	if digest == "" {
		return record{}, ErrNotFound
	}
	all, err := s.tags()
	if err != nil {
		return record{}, err
	}
	for _, t := range all {
		if of, _, _ := names.Cut(t.Ref); of == repository && t.Digest == digest {
			return s.byID(t.Image)
		}
	}
	return record{}, ErrNotFound
}

func (s *Store) byPrefix(prefix string) (record, error) {
	found, err := filepath.Glob(s.path("images", prefix+"*.json"))
	if err != nil {
		return record{}, err
	}
	switch len(found) {
	case 0:
		return record{}, fmt.Errorf("%s: %w", prefix, ErrNotFound)
	case 1:
		return read[record](found[0])
	default:
		return record{}, fmt.Errorf("%w: %s is the beginning of %d image ids: give more of it", ErrAmbiguous, prefix, len(found))
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
