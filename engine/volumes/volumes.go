// Package volumes keeps named directories that outlive the containers which use them. It does not know who does.
package volumes

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"dhow/internal/atomicfile"
)

// Volume is one; its data is a directory.
type Volume struct {
	Name    string            `json:"name"`
	Created time.Time         `json:"created"`
	Labels  map[string]string `json:"labels,omitempty"`
	Options map[string]string `json:"options,omitempty"`
	// Anonymous volumes have a name that nobody chose.
	Anonymous bool `json:"anonymous,omitempty"`
	// Path is where the data is.
	Path string `json:"-"`
}

// Store is the volumes below a directory.
type Store struct{ Dir string }

// ErrNotFound is matched by errors about a volume that does not exist.
var ErrNotFound = errors.New("no such volume")

const (
	dataDir    = "_data"
	recordFile = "volume.json"
)

var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// Create makes a volume; one that has the name already is returned as it is. Without a name it gets a random one.
func (s Store) Create(v Volume) (*Volume, error) {
	if v.Name == "" {
		b := make([]byte, 32)
		_, _ = rand.Read(b) // never fails
		v.Name, v.Anonymous = hex.EncodeToString(b), true
	}
	if !validName.MatchString(v.Name) {
		return nil, fmt.Errorf("create %s: %q includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path", v.Name, v.Name)
	}
	if len(v.Options) > 0 {
		return nil, fmt.Errorf("create %s: volumes of this engine are plain directories and have no options", v.Name)
	}
	if have, err := s.Get(v.Name); err == nil {
		return have, nil
	}
	dir := filepath.Join(s.Dir, v.Name)
	if err := os.MkdirAll(filepath.Join(dir, dataDir), 0o755); err != nil {
		return nil, err
	}
	v.Created = time.Now()
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if err := atomicfile.Write(filepath.Join(dir, recordFile), data); err != nil {
		return nil, fmt.Errorf("create volume %s: %w", v.Name, err)
	}
	v.Path = filepath.Join(dir, dataDir)
	return &v, nil
}

// Get finds a volume by its name.
func (s Store) Get(name string) (*Volume, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("get %s: %w", name, ErrNotFound)
	}
	data, err := os.ReadFile(filepath.Join(s.Dir, name, recordFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("get %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	v := &Volume{}
	if err := json.Unmarshal(data, v); err != nil {
		return nil, fmt.Errorf("volume %s: %w", name, err)
	}
	v.Path = filepath.Join(s.Dir, name, dataDir)
	return v, nil
}

// List is all volumes by name.
func (s Store) List() ([]*Volume, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []*Volume
	for _, e := range entries {
		v, err := s.Get(e.Name())
		if errors.Is(err, ErrNotFound) {
			continue // half-made, or half-removed
		}
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b *Volume) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// Remove deletes a volume and its data. That nobody uses it is the caller's business.
func (s Store) Remove(name string) error {
	if _, err := s.Get(name); err != nil {
		return err
	}
	dir := filepath.Join(s.Dir, name)
	if err := os.Remove(filepath.Join(dir, recordFile)); err != nil { // then it is no volume any more
		return err
	}
	return os.RemoveAll(dir)
}
