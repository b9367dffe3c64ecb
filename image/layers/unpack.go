// Package layers turns layers' archives into directories for overlayfs and back, byte for byte. It knows neither
// images nor where layers are stored.
package layers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Empty is the digest of the archive without entries, EmptyArchive.
const Empty = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

// EmptyArchive is an archive without entries.
func EmptyArchive() []byte { return make([]byte, 1024) }

// Files of an unpacked layer beside its root:
const (
	rootDir      = "fs"           // what overlayfs gets
	impliedFile  = "implied.json" // see implied.go
	recipeFile   = "archive.zst"  // see recipe.go
	replacedDir  = "replaced"     // files that later entries of the same archive replaced, by inode
	metadataFile = "layer.json"   // Metadata; written last: a layer without it is half-made
)

// Metadata is what is known of an unpacked layer.
type Metadata struct {
	DiffID string `json:"diffID"` // digest of the plain archive
	Size   uint64 `json:"size"`   // bytes in its files
	Bytes  int64  `json:"bytes"`  // of the plain archive
}

// Root is the directory for overlayfs in a layer's folder.
func Root(dir string) string { return filepath.Join(dir, rootDir) }

// Read is the metadata of the layer in dir; fs.ErrNotExist when there is none.
func Read(dir string) (Metadata, error) {
	var m Metadata
	data, err := os.ReadFile(filepath.Join(dir, metadataFile))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%s: %w", dir, err)
	}
	return m, nil
}

// Unpack makes dir, which is empty, a layer of an archive, compressed or not. It reads all of r.
func Unpack(r io.Reader, dir string, limits Limits) (Metadata, error) {
	root := Root(dir)
	if err := os.Mkdir(root, 0o755); err != nil {
		return Metadata{}, err
	}
	plain, err := Decompress(r, limits)
	if err != nil {
		return Metadata{}, err
	}
	defer plain.Close()
	recorder, err := newRecorder(plain, filepath.Join(dir, recipeFile))
	if err != nil {
		return Metadata{}, err
	}
	made, err := untarAll(recorder, dir)
	if err = errors.Join(err, recorder.close()); err != nil {
		return Metadata{}, err
	}
	if err := plain.drain(); err != nil {
		return Metadata{}, fmt.Errorf("read archive: %w", err)
	}
	if err := putImplied(dir, made.implied); err != nil {
		return Metadata{}, err
	}
	m := Metadata{DiffID: "sha256:" + hex.EncodeToString(recorder.hash.Sum(nil)), Size: made.size, Bytes: recorder.bytes}
	data, err := json.Marshal(m)
	if err != nil {
		return m, err
	}
	return m, os.WriteFile(filepath.Join(dir, metadataFile), data, 0o600)
}

// untarAll also reads what lies behind the archive's end: it counts for the digest.
func untarAll(r *recorder, dir string) (*untarrer, error) {
	made, err := untarInto(r, dir)
	if err != nil {
		return made, err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return made, fmt.Errorf("read archive: %w", err)
	}
	return made, nil
}

// Verify reads a layer back and compares it with its digest, and reads what is known of it.
func Verify(dir, diffID string) error {
	m, err := Read(dir)
	if err == nil && m.DiffID != diffID {
		err = fmt.Errorf("layer %s is damaged: it says that it is %s", diffID, m.DiffID)
	}
	if err == nil {
		_, err = readImplied(dir)
	}
	if err != nil {
		return err
	}
	archive, err := Archive(dir)
	if err != nil {
		return err
	}
	defer archive.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, archive); err != nil {
		return err
	}
	if got := "sha256:" + hex.EncodeToString(hash.Sum(nil)); got != diffID {
		return fmt.Errorf("layer %s is damaged: its files have digest %s", diffID, got)
	}
	return nil
}
