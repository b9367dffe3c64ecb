// Package image owns every image and layer on the machine: pulls and loads them, stores each layer once,
// and hands out snapshots of them as container roots. It mounts nothing and runs nothing.
package image

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/image/leases"
	"dhow/image/names"
	"dhow/image/records"
	"dhow/image/registry"
	"dhow/image/spec"
	"dhow/internal/rootfs"
)

// Config of a Store.
type Config struct {
	// Dir holds everything (/var/lib/dhow/images): unpacked layers, snapshots, the index of references. Several
	// processes may use it at once.
	Dir string
	// RegistriesFile maps registry hosts to mirrors and credentials in k3s' registries.yaml format
	// (/etc/dhow/registries.yaml); absent is fine. It is read anew by each pull and push. Loopback registries
	// are spoken to over plain HTTP.
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

// Maker is the contract for who makes images: builds, commits of containers, imports. Store implements it.
//
// Layers that no image has are swept away unless a lease holds them: who makes an image of several steps takes a
// lease first, and releases it when the image is put.
type Maker interface {
	// Lease keeps layers and untagged images from being swept. With an empty name it is this process's own, and
	// ends with it at the latest. With a name it lasts over restarts until it is released, and taking it again
	// gives the same lease: what a build cache needs.
	Lease(ctx context.Context, name string) (*Lease, error)

	// PutLayer stores the layer that an archive holds (tar; plain, gzip, zstd or bzip2; OCI's whiteouts). A layer
	// that is there is not stored again. The lease holds it from before it appears.
	PutLayer(ctx context.Context, lease *Lease, archive io.Reader) (Layer, error)
	// CommitLayer stores what has changed in the snapshot of that key as a layer. The snapshot stays as it is; who
	// writes to it meanwhile is pausing first. at, if not zero, replaces times later than it (SOURCE_DATE_EPOCH).
	CommitLayer(ctx context.Context, lease *Lease, key string, at time.Time) (Layer, error)
	// SnapshotOf is Snapshot of layers (diff ids, lowest first; none for an empty root) that need no image.
	SnapshotOf(ctx context.Context, key string, layers []string, config ocispec.ImageConfig) (*rootfs.Snapshot, error)

	// Put makes an image of layers that are there, which spec.RootFS names, and gives it names; with none it is
	// dangling. Equal specs give equal ids.
	Put(ctx context.Context, spec Spec, names ...string) (id string, err error)
	// Commit makes an image of a snapshot: its image's layers, what has changed since, and the changed config.
	Commit(ctx context.Context, key string, c Commit) (id string, err error)

	// Tag gives the image that source names (or whose id it is) a further name, taking it from another image
	// if need be.
	Tag(ctx context.Context, source, target string) error
	// Untag takes a name away; an image without names stays until it is removed or pruned. ErrNotFound.
	Untag(ctx context.Context, name string) error
	// Inspect tells everything about an image. ErrNotFound.
	Inspect(ctx context.Context, ref string) (*Details, error)
}

// Commit says how the image of a container differs from the one it was made of.
type Commit struct {
	// Names of the new image; it may have none.
	Names []string
	// Change edits the configuration of the snapshot's image, if not nil.
	Change func(*RunConfig) error
	// Author and Comment are kept in the image and its history; CreatedBy is the command in its history.
	Author, Comment, CreatedBy string
	// Created is the image's time, now if zero.
	Created time.Time
}

// Layer is one stored layer.
type Layer struct {
	// DiffID is the digest of its plain archive, "sha256:…"; Size the bytes of its files on disk.
	DiffID string `json:"diffID"`
	Size   uint64 `json:"size"`
}

// Details is all that the store knows of one image.
type Details struct {
	ID      string
	Names   []string // normalized, sorted: docker.io/library/nginx:latest
	Digests []string // repository@sha256:… by which it was pulled or pushed, sorted
	Spec    Spec
	// Raw is the configuration as it is stored; ID is its digest.
	Raw    []byte
	Layers []Layer // lowest first
	// Size is the bytes of its layers' files; Compressed what its layers' archives took, if it was pulled or loaded.
	Size, Compressed uint64
	// Stored is when it came into this store, Tagged when it last got a name.
	Stored, Tagged time.Time
}

// Progress of one layer (or manifest, config) of a pull, push or load.
type Progress struct {
	Digest      string
	Status      string // "waiting", "downloading", "extracting", "done", "exists"; "uploading", "pushed", "mounted"
	Done, Total int64  // bytes; Total is -1 when unknown
}

// Lease keeps layers and images from being swept; see package leases.
type Lease = leases.Lease

// What images are made of; see package spec.
type (
	Spec        = spec.Image
	RootFS      = spec.RootFS
	RunConfig   = spec.RunConfig
	Healthcheck = spec.Healthcheck
)

// ParseChanges reads what commit and import take by --change; see package spec.
func ParseChanges(lines []string) (func(*RunConfig) error, error) { return spec.ParseChanges(lines) }

// Errors a caller branches on; they are matched with errors.Is.
var (
	ErrNotFound     = registry.ErrNotFound
	ErrUnauthorized = registry.ErrUnauthorized
	ErrInvalidName  = names.ErrInvalid
	ErrInUse        = errors.New("image is in use")
	// ErrNotHere is a name that is to be pushed and that no image has.
	ErrNotHere = errors.New("no image here has that name")
	// ErrConflict is a removal that docker's users must force.
	ErrConflict = errors.New("conflict")
	// ErrAmbiguous is the beginning of several ids.
	ErrAmbiguous = records.ErrAmbiguous
)
