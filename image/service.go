package image

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/image/layers"
)

// ImageStatus implements Service.
func (s *Store) ImageStatus(ctx context.Context, ref string) (*cri.Image, error) {
	d, err := s.Inspect(ctx, ref)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return describe(d), nil
}

// ListImages implements Service.
func (s *Store) ListImages(ctx context.Context) ([]*cri.Image, error) {
	all, err := s.List(ctx)
	if err != nil {
		return nil, err
	}
	images := make([]*cri.Image, 0, len(all))
	for _, d := range all {
		images = append(images, describe(d))
	}
	return images, nil
}

// describe says it in CRI's words. Its size is what it takes on disk.
func describe(d *Details) *cri.Image {
	image := &cri.Image{
		Id: d.ID, Size: d.Size, Spec: &cri.ImageSpec{Image: d.ID}, RepoTags: d.Names, RepoDigests: d.Digests,
	}
	account, _, _ := strings.Cut(d.Spec.Config.User, ":")
	if uid, err := strconv.ParseInt(account, 10, 64); err == nil {
		image.Uid = &cri.Int64Value{Value: uid}
	} else {
		image.Username = account
	}
	return image
}

// UsedBytes implements Service. What layers take is known since they were unpacked; only the rest is counted.
func (s *Store) UsedBytes(context.Context) (uint64, error) {
	entries, err := os.ReadDir(s.path("layers"))
	if err != nil {
		return 0, err
	}
	var sum uint64
	for _, e := range entries {
		if m, err := layers.Read(s.path("layers", e.Name())); err == nil {
			sum += m.Size
		}
	}
	for _, folder := range folders {
		if folder == "layers" {
			continue
		}
		blocks, err := blocksOf(s.path(folder))
		if err != nil {
			return 0, err
		}
		sum += blocks
	}
	return sum, nil
}

// blocksOf is what a folder takes on disk; files that go meanwhile take nothing.
func blocksOf(dir string) (sum uint64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
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
