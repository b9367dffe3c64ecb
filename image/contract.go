// Package image owns every image and layer on the machine: pulls and loads them, stores each layer once,
// and hands out snapshots of them as container roots. It mounts nothing and runs nothing.
package image

import (
	"context"
	"errors"
	"log/slog"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Config of a Store.
type Config struct {
	// Dir holds everything (/var/lib/dhow/images): content by digest, unpacked layers, snapshots, the index
	// of references. One Store owns it at a time across processes for writing; readers may share.
	Dir string
	// RegistriesFile maps registry hosts to mirrors and credentials in k3s' registries.yaml format
	// (/etc/dhow/registries.yaml); absent is fine. Loopback registries are spoken to over plain HTTP.
	RegistriesFile string
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// Service is the contract between a node agent (or command line) and the image store: CRI's ImageService
// with progress. Store implements it, and container.Images beside.
type Service interface {
	// PullImage resolves, verifies, unpacks and tags ref, and returns the image id "sha256:…".
	// progress may be nil; it is called from several goroutines.
	PullImage(ctx context.Context, ref string, auth *cri.AuthConfig, progress func(Progress)) (id string, err error)
	// ImageStatus finds by reference, repo digest or id (also a unique prefix of one); nil, nil when absent.
	ImageStatus(ctx context.Context, ref string) (*cri.Image, error)
	ListImages(ctx context.Context) ([]*cri.Image, error)
	// RemoveImage untags ref, or removes the image with all its tags when ref is an id. ErrInUse while a
	// snapshot of it exists. An absent image is no error.
	RemoveImage(ctx context.Context, ref string) error
	// UsedBytes is what Dir takes on disk.
	UsedBytes(ctx context.Context) (uint64, error)
}

// Progress of one layer (or manifest, config) of a pull.
type Progress struct {
	Digest      string
	Status      string // "downloading", "verifying", "extracting", "done", "exists"
	Done, Total int64  // bytes; Total is -1 when unknown
}

// Errors a caller branches on; they are matched with errors.Is.
var (
	ErrNotFound     = errors.New("image not found")
	ErrUnauthorized = errors.New("registry denied access")
	ErrInUse        = errors.New("image is in use")
	ErrInvalidName  = errors.New("invalid image name")
)
