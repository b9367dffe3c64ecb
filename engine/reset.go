package engine

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"dhow/container"
	"dhow/internal/filelock"
)

// Reset ends all containers of this engine and removes them with their links, rules and groups; images and volumes stay.
func (s *Service) Reset(ctx context.Context) error {
	held := map[string]func(){}
	defer func() {
		for _, unlock := range held {
			unlock()
		}
	}()
	if err := s.lockAll(ctx, held); err != nil { // who is taking an end down has a moment for that
		return err
	}
	failed := container.Reset(ctx, container.Config{
		StateDir: filepath.Join(s.config.StateDir, "containers"), CgroupParent: s.config.CgroupParent, Images: snapshots{s.config.Images}, Log: s.log,
	})
	if failed = errors.Join(failed, s.Networks().Reset()); failed != nil {
		return failed
	}
	if err := s.lockAll(ctx, held); err != nil { // who has waited for a container does not any more
		return err
	}
	// Exit commands that come later find nothing, and make nothing anew.
	for id := range held {
		failed = errors.Join(failed, s.forget(id))
	}
	return failed
}

// lockAll takes the locks of all containers, but those that somebody has for more than a moment.
func (s *Service) lockAll(ctx context.Context, held map[string]func()) error {
	list, err := s.all()
	if err != nil {
		return err
	}
	soon, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, c := range list {
		if held[c.ID] != nil {
			continue
		}
		if unlock, err := filelock.Wait(soon, filepath.Join(s.dir(c.ID), lockFile), func() {}); err == nil {
			held[c.ID] = unlock
		}
	}
	return ctx.Err()
}
