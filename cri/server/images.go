package server

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// imageService implements CRI's service of that name.
type imageService struct {
	cri.UnimplementedImageServiceServer
	Config
}

// ListImages lists all, or the one that the filter names.
func (s *imageService) ListImages(ctx context.Context, r *cri.ListImagesRequest) (*cri.ListImagesResponse, error) {
	images, err := s.list(ctx, r.Filter)
	return &cri.ListImagesResponse{Images: images}, err
}

func (s *imageService) list(ctx context.Context, filter *cri.ImageFilter) ([]*cri.Image, error) {
	ref := filter.GetImage().GetImage()
	if ref == "" {
		return s.Images.ListImages(ctx)
	}
	found, err := s.Images.ImageStatus(ctx, ref)
	if err != nil || found == nil {
		return nil, err
	}
	return []*cri.Image{found}, nil
}

// ImageStatus has no image when it is absent.
func (s *imageService) ImageStatus(ctx context.Context, r *cri.ImageStatusRequest) (*cri.ImageStatusResponse, error) {
	if r.GetImage().GetImage() == "" {
		return nil, missing("image.image")
	}
	found, err := s.Images.ImageStatus(ctx, r.Image.Image)
	return &cri.ImageStatusResponse{Image: found}, err
}

// PullImage answers with the image's id.
func (s *imageService) PullImage(ctx context.Context, r *cri.PullImageRequest) (*cri.PullImageResponse, error) {
	if r.GetImage().GetImage() == "" {
		return nil, missing("image.image")
	}
	id, err := s.Images.PullImage(ctx, r.Image.Image, r.Auth, nil)
	return &cri.PullImageResponse{ImageRef: id}, err
}

// RemoveImage removes the image with all its names, as CRI says: by its id.
func (s *imageService) RemoveImage(ctx context.Context, r *cri.RemoveImageRequest) (*cri.RemoveImageResponse, error) {
	if r.GetImage().GetImage() == "" {
		return nil, missing("image.image")
	}
	found, err := s.Images.ImageStatus(ctx, r.Image.Image)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return &cri.RemoveImageResponse{}, nil
	}
	return &cri.RemoveImageResponse{}, s.Images.RemoveImage(ctx, found.Id)
}

// ImageFsInfo is about the one file system that holds images and containers' layers.
func (s *imageService) ImageFsInfo(ctx context.Context, _ *cri.ImageFsInfoRequest) (*cri.ImageFsInfoResponse, error) {
	used, err := s.Images.UsedBytes(ctx)
	if err != nil {
		return nil, err
	}
	usage := &cri.FilesystemUsage{
		Timestamp: time.Now().UnixNano(), FsId: &cri.FilesystemIdentifier{Mountpoint: s.ImageDir},
		UsedBytes: &cri.UInt64Value{Value: used}, InodesUsed: &cri.UInt64Value{Value: countFiles(s.ImageDir)},
	}
	return &cri.ImageFsInfoResponse{ImageFilesystems: []*cri.FilesystemUsage{usage}, ContainerFilesystems: []*cri.FilesystemUsage{usage}}, nil
}

// countFiles counts what can be read; files may go meanwhile.
func countFiles(dir string) (n uint64) {
	_ = filepath.WalkDir(dir, func(string, fs.DirEntry, error) error {
		n++
		return nil
	})
	return n
}

// chunk is how many items a message of a streamed list has.
const chunk = 500

// inChunks sends a list in messages of bounded size.
func inChunks[T any](items []T, err error, send func([]T) error) error {
	if err != nil {
		return err
	}
	for part := range slices.Chunk(items, chunk) {
		if err := send(part); err != nil {
			return err
		}
	}
	return nil
}
