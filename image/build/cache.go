package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dhow/image"
	"dhow/image/records"
	"dhow/internal/filelock"
)

// leaseName is under what the image store keeps the cache's layers.
const leaseName = "build cache"

// cache remembers which layer a step has made: the key is over all that the step depends on, beginning with the layers
// that it found. It is a file for each key, and a lease on the layers.
type cache struct {
	dir    string
	images Images
	lease  *image.Lease
	// imported is what images tell of how they were made, by key.
	imported map[string]cached
}

// cached is what is remembered of a step. DiffID is empty if it changed nothing.
type cached struct {
	DiffID  string    `json:"diffID,omitempty"`
	Created time.Time `json:"created"`
	Step    string    `json:"step"`
	Size    uint64    `json:"size"`
	key     string
	used    time.Time
}

func (b *Builder) openCache(ctx context.Context) (*cache, error) {
	lease, err := b.config.Images.Lease(ctx, leaseName)
	if err != nil {
		return nil, err
	}
	return &cache{dir: filepath.Join(b.config.Dir, cacheDir), images: b.config.Images, lease: lease, imported: map[string]cached{}}, nil
}

// keyOf is over lists of words, none of which can run into another: texts, which may hold any bytes, numbers, and lists of
// them.
func keyOf(kind string, layers []string, words ...any) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%#v", []any{kind, layers, words}) // as Go writes them
	return hex.EncodeToString(sum.Sum(nil))
}

func (c *cache) path(key string) string { return filepath.Join(c.dir, key+".json") }

// find gives what a step of that key has made, if its layer is still there.
func (c *cache) find(ctx context.Context, key string) (cached, bool) {
	found, err := c.read(c.path(key))
	if err != nil {
		if found, there := c.imported[key]; there {
			return found, c.put(key, found) == nil
		}
		return cached{}, false
	}
	if found.DiffID != "" {
		if _, err := c.images.Layer(ctx, found.DiffID); err != nil {
			return cached{}, false
		}
	}
	now := time.Now()
	_ = os.Chtimes(c.path(key), now, now) // for prune only
	return found, true
}

func (c *cache) read(path string) (cached, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return cached{}, err
	}
	var found cached
	if err := json.Unmarshal(data, &found); err != nil { // cut off by a power cut
		return cached{}, fmt.Errorf("%s: %w", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return cached{}, err
	}
	found.key, found.used = strings.TrimSuffix(filepath.Base(path), ".json"), info.ModTime()
	return found, nil
}

// put remembers a step. The layer is held first; a crash in between leaves it to dropUnrecorded. A record that a power
// cut spoils is none, so nothing waits for the disk.
func (c *cache) put(key string, made cached) error {
	unlock, err := filelock.Lock(filepath.Join(c.dir, "lock"), filelock.Shared)
	if err != nil {
		return err
	}
	defer unlock()
	if made.DiffID != "" {
		if err := c.lease.Hold(made.DiffID); err != nil {
			return err
		}
	}
	data, err := json.Marshal(made)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(c.dir, ".tmp-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), c.path(key))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// records lists all that is remembered, what was used last first.
func (c *cache) records() ([]cached, error) {
	names, err := records.Names(c.dir, "", ".json")
	if err != nil {
		return nil, err
	}
	var all []cached
	for _, name := range names {
		path := filepath.Join(c.dir, name)
		one, err := c.read(path)
		switch {
		case err == nil:
			all = append(all, one)
		case records.OfTheMoment(err):
			return nil, err
		default:
			_ = os.Remove(path) // spoilt
		}
	}
	slices.SortFunc(all, func(a, b cached) int { return b.used.Compare(a.used) })
	return all, nil
}

// dropUnrecorded lets go of layers that no record speaks of.
func (b *Builder) dropUnrecorded(ctx context.Context) error {
	c, err := b.openCache(ctx)
	if err != nil {
		return err
	}
	unlock, err := filelock.Lock(filepath.Join(c.dir, "lock"), filelock.Exclusive)
	if err != nil {
		return err
	}
	defer unlock()
	temporary, err := records.Names(c.dir, ".tmp-", "")
	if err != nil {
		return err
	}
	for _, name := range temporary {
		_ = os.Remove(filepath.Join(c.dir, name)) // nobody is writing: that takes the lock
	}
	all, err := c.records()
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, r := range all {
		wanted[r.DiffID] = true
	}
	held, _, err := c.lease.Held()
	if err != nil {
		return err
	}
	for _, id := range held {
		if !wanted[id] {
			if err := c.lease.Drop(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// PruneOptions of Prune.
type PruneOptions struct {
	// Until, if not zero, spares what was used later.
	Until time.Time
	// Keep is how many bytes of layers may stay, what was used last first.
	Keep uint64
}

// Pruned is what Prune has removed.
type Pruned struct {
	Steps []string // what each was made by
	Bytes uint64
}

// Prune forgets steps and what RUN --mount=type=cache has kept, and removes the layers that nothing else needs.
func (b *Builder) Prune(ctx context.Context, o PruneOptions) (Pruned, error) {
	if err := b.clear(ctx); err != nil {
		return Pruned{}, err
	}
	c, err := b.openCache(ctx)
	if err != nil {
		return Pruned{}, err
	}
	all, err := c.records()
	if err != nil {
		return Pruned{}, err
	}
	var done Pruned
	var kept uint64
	for _, r := range all {
		if !o.Until.IsZero() && r.used.After(o.Until) {
			continue
		}
		if o.Keep > 0 && kept+r.Size <= o.Keep {
			kept += r.Size
			continue
		}
		if err := os.Remove(c.path(r.key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return done, err
		}
		done.Steps = append(done.Steps, r.Step)
	}
	if err := b.dropUnrecorded(ctx); err != nil {
		return done, err
	}
	if o.Keep == 0 {
		freed, err := b.pruneMounts(o.Until)
		done.Bytes += freed
		if err != nil {
			return done, err
		}
	}
	// No image is wanted gone: it only sweeps layers.
	gone, err := b.config.Images.Prune(ctx, image.PruneOptions{Wanted: func(*image.Details) bool { return false }})
	done.Bytes += gone.Bytes
	return done, err
}

// pruneMounts removes the folders of RUN --mount=type=cache that nobody uses.
func (b *Builder) pruneMounts(until time.Time) (freed uint64, err error) {
	dir := filepath.Join(b.config.Dir, mountsDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if !e.IsDir() || err != nil || !until.IsZero() && info.ModTime().After(until) {
			continue
		}
		unlock, err := filelock.Lock(filepath.Join(dir, e.Name()+".use"), filelock.Try)
		if errors.Is(err, filelock.ErrHeld) {
			continue
		}
		if err != nil {
			return freed, err
		}
		freed += diskUse(filepath.Join(dir, e.Name()))
		err = os.RemoveAll(filepath.Join(dir, e.Name()))
		unlock()
		if err != nil {
			return freed, err
		}
	}
	return freed, nil
}

func diskUse(dir string) (sum uint64) {
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && unix.Lstat(path, &st) == nil {
			sum += uint64(st.Blocks) * 512
		}
		return nil
	})
	return sum
}
