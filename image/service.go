package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/internal/rootfs"
)

// ImageStatus implements Service.
func (s *Store) ImageStatus(_ context.Context, ref string) (*cri.Image, error) {
	r, err := s.find(ref)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	tags, err := s.tags()
	if err != nil {
		return nil, err
	}
	return describe(r, tags), nil
}

// ListImages implements Service.
func (s *Store) ListImages(context.Context) ([]*cri.Image, error) {
	records, err := s.records()
	if err != nil {
		return nil, err
	}
	tags, err := s.tags()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(records, func(a, b record) int { return b.Created.Compare(a.Created) })
	images := make([]*cri.Image, 0, len(records))
	for _, r := range records {
		images = append(images, describe(r, tags))
	}
	return images, nil
}

func describe(r record, tags []tag) *cri.Image {
	image := &cri.Image{Id: r.ID, Size: r.Size, Spec: &cri.ImageSpec{Image: r.ID}}
	for _, t := range tags {
		if t.Image != r.ID {
			continue
		}
		if !strings.Contains(t.Ref, "@") {
			image.RepoTags = append(image.RepoTags, t.Ref)
		}
		if repo, ok := repositoryOf(t.Ref); ok && t.Digest != "" {
			image.RepoDigests = append(image.RepoDigests, repo+"@"+t.Digest)
		}
	}
	slices.Sort(image.RepoTags)
	slices.Sort(image.RepoDigests)
	image.RepoDigests = slices.Compact(image.RepoDigests)
	account, _, _ := strings.Cut(r.Config.Config.User, ":")
	if uid, err := strconv.ParseInt(account, 10, 64); err == nil {
		image.Uid = &cri.Int64Value{Value: uid}
	} else {
		image.Username = account
	}
	return image
}

func repositoryOf(ref string) (string, bool) {
	r, err := parse(ref)
	if err != nil {
		return "", false
	}
	return repository(r.Context()), true
}

// Tag gives the image that source names a further name.
func (s *Store) Tag(_ context.Context, source, target string) error {
	unlock, err := s.lock(unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	r, err := s.find(source)
	if err != nil {
		return err
	}
	ref, err := normalize(target)
	if err != nil {
		return err
	}
	if strings.Contains(ref, "@") {
		return fmt.Errorf("%w: %q: a tag cannot have a digest", ErrInvalidName, target)
	}
	return s.putTag(tag{Ref: ref, Image: r.ID})
}

// Snapshot implements container.Images.
func (s *Store) Snapshot(_ context.Context, key, image string) (*rootfs.Snapshot, error) {
	unlock, err := s.lock(unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer unlock()
	dir := s.path("snapshots", hashName(key))
	made, err := read[snapshot](filepath.Join(dir, "snapshot.json"))
	if errors.Is(err, fs.ErrNotExist) {
		made, err = s.makeSnapshot(dir, key, image)
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot of %s: %w", image, err)
	}
	r, err := s.byID(made.Image)
	if err != nil {
		return nil, fmt.Errorf("snapshot of %s: %w", image, err)
	}
	return &rootfs.Snapshot{
		Lower: s.lower(r), Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work"),
		ImageID: r.ID, Config: r.Config.Config,
	}, nil
}

// snapshot says whose writable layer a folder is.
type snapshot struct {
	Key   string `json:"key"`
	Image string `json:"image"`
}

// makeSnapshot fills a folder in tmp and renames it.
func (s *Store) makeSnapshot(dir, key, image string) (snapshot, error) {
	r, err := s.find(image)
	if err != nil {
		return snapshot{}, err
	}
	made := snapshot{Key: key, Image: r.ID}
	tmp, err := os.MkdirTemp(s.path("tmp"), "snapshot-")
	if err != nil {
		return made, err
	}
	defer os.RemoveAll(tmp)
	if err := os.Mkdir(filepath.Join(tmp, "upper"), 0o755); err != nil {
		return made, err
	}
	if err := os.Mkdir(filepath.Join(tmp, "work"), 0o700); err != nil {
		return made, err
	}
	if err := showImplied(s.lower(r), filepath.Join(tmp, "upper")); err != nil {
		return made, err
	}
	if err := s.put(filepath.Join(tmp, "snapshot.json"), made); err != nil {
		return made, err
	}
	return made, os.Rename(tmp, dir)
}

// lower lists the folders of an image's layers, topmost first. An image without layers has an empty one.
func (s *Store) lower(r record) []string {
	if len(r.Layers) == 0 {
		return []string{s.layer(emptyLayer)}
	}
	var dirs []string
	for _, id := range slices.Backward(r.Layers) {
		if dir := s.layer(id); !slices.Contains(dirs, dir) { // overlayfs refuses one directory twice
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func (s *Store) layer(diffID string) string { return s.path("layers", bare(diffID), "fs") }

// RemoveSnapshot implements container.Images.
func (s *Store) RemoveSnapshot(_ context.Context, key string) error {
	unlock, err := s.lock(unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	return s.discard(s.path("snapshots", hashName(key)))
}

// discard moves a folder to tmp first, so that it goes as a whole.
func (s *Store) discard(dir string) error {
	trash, err := os.MkdirTemp(s.path("tmp"), "trash-")
	if err != nil {
		return err
	}
	err = ignoreMissing(os.Rename(dir, filepath.Join(trash, "gone")))
	return errors.Join(err, os.RemoveAll(trash))
}

// UsedBytes implements Service.
func (s *Store) UsedBytes(context.Context) (uint64, error) {
	var sum uint64
	err := filepath.WalkDir(s.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return ignoreMissing(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreMissing(err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			sum += uint64(st.Blocks) * 512
		}
		return nil
	})
	return sum, err
}
