package image

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
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
