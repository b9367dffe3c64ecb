// Package rootfs holds the one type that the image store hands to the container engine: the layers of a
// container's root directory. It is data only; neither mounts nor unpacks anything.
package rootfs

import ocispec "github.com/opencontainers/image-spec/specs-go/v1"

// Snapshot is a container's root before it is mounted: read-only directories and a writable one over them.
// All paths are absolute and owned by the image store; they stay until the snapshot is removed.
type Snapshot struct {
	// Lower are the unpacked layers, topmost first (the order of overlayfs' lowerdir). Never empty.
	Lower []string
	// Upper and Work are the writable layer and overlayfs' work directory, on one file system.
	Upper, Work string
	// ImageID is the digest of the image's config, "sha256:…".
	ImageID string
	// Config is what the image says about running it (OCI image-spec, config.md).
	Config ocispec.ImageConfig
}
