package engine

import (
	"context"
	"errors"
	"path/filepath"

	"dhow/container"
)

// Reset ends all containers of this engine and removes their links, rules and groups; records and volumes stay.
func (s *Service) Reset(ctx context.Context) error {
	failed := container.Reset(ctx, container.Config{
		StateDir: filepath.Join(s.config.StateDir, "containers"), CgroupParent: s.config.CgroupParent, Images: snapshots{s.config.Images}, Log: s.log,
	})
	return errors.Join(failed, s.Networks().Reset())
}
