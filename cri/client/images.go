package client

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/image"
)

// Images is an image store behind a socket.
type Images struct {
	config Config
	conn   *grpc.ClientConn
	rpc    cri.ImageServiceClient
}

var _ image.Service = (*Images)(nil)

// NewImages checks the configuration; it connects when it is used.
func NewImages(c Config) (*Images, error) {
	if err := c.complete(); err != nil {
		return nil, fmt.Errorf("cri client: %w", err)
	}
	conn, err := c.dial()
	if err != nil {
		return nil, fmt.Errorf("cri client: %w", err)
	}
	return &Images{config: c, conn: conn, rpc: cri.NewImageServiceClient(conn)}, nil
}

// Run holds the connection until ctx ends.
func (i *Images) Run(ctx context.Context) error {
	<-ctx.Done()
	return i.conn.Close()
}

// PullImage implements image.Service. CRI has no progress; a pull may take as long as ctx lets it.
func (i *Images) PullImage(ctx context.Context, ref string, auth *cri.AuthConfig, _ func(image.Progress)) (string, error) {
	answer, err := i.rpc.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: ref}, Auth: auth})
	return answer.GetImageRef(), explainImage(err)
}

// ImageStatus implements image.Service.
func (i *Images) ImageStatus(ctx context.Context, ref string) (*cri.Image, error) {
	ctx, cancel := context.WithTimeout(ctx, i.config.Timeout)
	defer cancel()
	answer, err := i.rpc.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: ref}})
	return answer.GetImage(), explainImage(err)
}

// ListImages implements image.Service.
func (i *Images) ListImages(ctx context.Context) ([]*cri.Image, error) {
	ctx, cancel := context.WithTimeout(ctx, i.config.Timeout)
	defer cancel()
	answer, err := i.rpc.ListImages(ctx, &cri.ListImagesRequest{})
	return answer.GetImages(), explainImage(err)
}

// RemoveImage implements image.Service. By CRI's rules the image goes with all its names.
func (i *Images) RemoveImage(ctx context.Context, ref string) error {
	ctx, cancel := context.WithTimeout(ctx, i.config.Timeout)
	defer cancel()
	_, err := i.rpc.RemoveImage(ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: ref}})
	return explainImage(err)
}

// UsedBytes implements image.Service.
func (i *Images) UsedBytes(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, i.config.Timeout)
	defer cancel()
	answer, err := i.rpc.ImageFsInfo(ctx, &cri.ImageFsInfoRequest{})
	var sum uint64
	for _, f := range answer.GetImageFilesystems() {
		sum += f.GetUsedBytes().GetValue()
	}
	return sum, explainImage(err)
}
