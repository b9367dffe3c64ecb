package engine

import (
	"context"
	"io/fs"
	"path/filepath"
)

// Sizes are the bytes of what a container has written, and of those with its image's.
func (s *Service) Sizes(ctx context.Context, c *Container) (own, total int64) {
	if c.ImageID == "" {
		return 0, 0
	}
	snapshot, err := s.config.Images.Snapshot(ctx, c.ID, c.ImageID)
	if err != nil {
		return 0, 0
	}
	return SizesOf(snapshot.Upper, snapshot.Lower)
}

// SizesOf are the same of a root whose layers are known.
func SizesOf(upper string, lower []string) (own, total int64) {
	own = sizeOf(upper)
	total = own
	for _, layer := range lower {
		total += sizeOf(layer)
	}
	return own, total
}

// sizeOf sums up the files below a directory.
func sizeOf(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // what cannot be read is not counted
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}
