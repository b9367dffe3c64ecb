package main

import (
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"dhow/internal/imagebuild"
)

const pauseImage = "bench/pause:1"

// loadImage packs the program that waits as an image and gives it to the node.
func (b *bench) loadImage() error {
	image, err := imagebuild.Image(v1.Config{Entrypoint: []string{"/pause"}}, imagebuild.File{Path: "/pause", Source: b.pause, Mode: 0o755})
	if err != nil {
		return err
	}
	archive := filepath.Join(b.dir, "pause.tar")
	if err := imagebuild.WriteArchive(image, pauseImage, archive); err != nil {
		return err
	}
	return b.do("load", "-i", archive)
}
