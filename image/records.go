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

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// record is what the store knows of one image.
type record struct {
	ID      string        `json:"id"`     // digest of the config, "sha256:…"
	Layers  []string      `json:"layers"` // diff ids, lowest first
	Size    uint64        `json:"size"`   // compressed, bytes
	Created time.Time     `json:"created"`
	Config  ocispec.Image `json:"config"`
}

// tag is a name of an image, and the manifest by which it came.
type tag struct {
	Ref    string `json:"ref"`   // with registry and tag, or with digest
	Image  string `json:"image"` // record.ID
	Digest string `json:"digest,omitempty"`
}

func bare(digest string) string { return strings.TrimPrefix(digest, "sha256:") }

func hashName(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

func (s *Store) putRecord(r record) error { return s.put(s.path("images", bare(r.ID)+".json"), r) }
func (s *Store) putTag(t tag) error       { return s.put(s.path("tags", hashName(t.Ref)+".json"), t) }

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
	name, nameErr := normalize(ref)
	if nameErr == nil {
		if t, err := read[tag](s.path("tags", hashName(name)+".json")); err == nil {
			return s.byID(t.Image)
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
		return record{}, fmt.Errorf("%s is the beginning of %d image ids: give more of it", prefix, len(found))
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
