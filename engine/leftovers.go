package engine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
)

// clearHalfMade removes what killed processes were making: folders without a record. The caller holds the names' lock,
// under which containers are made.
func (s *Service) clearHalfMade(ctx context.Context) error {
	if err := s.clearOrphans(ctx); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(s.config.Dir, "containers"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if _, err := os.Stat(filepath.Join(s.dir(e.Name()), configFile)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := errors.Join(s.config.Images.RemoveSnapshot(ctx, e.Name()), os.RemoveAll(s.dir(e.Name()))); err != nil {
			return err
		}
	}
	return nil
}

// clearOrphans removes sandboxes whose container has no record: its run was killed, and the container removed, before its
// shim was ready.
func (s *Service) clearOrphans(ctx context.Context) error {
	runtime, err := s.runtime()
	if err != nil {
		return err
	}
	list, err := runtime.ListPodSandbox(ctx, &cri.PodSandboxFilter{})
	if err != nil {
		return err
	}
	for _, sandbox := range list {
		_, err := os.Stat(filepath.Join(s.dir(sandbox.GetMetadata().GetUid()), configFile))
		if !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := runtime.RemovePodSandbox(ctx, sandbox.Id); err != nil {
			return err
		}
	}
	return nil
}

// clearStrays removes sandboxes of a container that its record does not know, and its places in networks if it has no
// sandbox: a process was killed while it started the container. The caller holds the container's lock.
func (s *Service) clearStrays(ctx context.Context, runtime *container.Engine, c *Container) error {
	if err := runtime.ClearHalfMade(c.ID); err != nil {
		return err
	}
	list, err := runtime.ListPodSandbox(ctx, &cri.PodSandboxFilter{})
	if err != nil {
		return err
	}
	for _, sandbox := range list {
		if sandbox.GetMetadata().GetUid() == c.ID && sandbox.Id != c.State.Sandbox {
			if err := runtime.RemovePodSandbox(ctx, sandbox.Id); err != nil {
				return err
			}
		}
	}
	if c.State.Sandbox != "" {
		return nil
	}
	return s.Networks().Forget(c.ID)
}
