package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"dhow/container"
)

// exitCommand is what a container's shim starts when it has ended: this program by its path, which may be a newer one's by
// then. One that has no path leaves ends to whoever looks next.
func (s *Service) exitCommand(c *Container) *container.ExitCommand {
	path, err := os.Executable()
	if err != nil || len(s.config.Program) == 0 {
		return nil
	}
	if _, err := os.Stat(path); err != nil { // in memory, or removed
		return nil
	}
	return &container.ExitCommand{
		Path: path, Args: append(slices.Clone(s.config.Program), "container", "cleanup", c.ID),
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
	}
}

// CleanUp takes down the end of a container whose records are in dir (Config.Dir); of one that runs, or is no more, there is
// nothing to do. open is called with the container's lock held, and not at all if it is gone: nothing is made anew after a reset.
func CleanUp(ctx context.Context, dir, id string, open func() (*Service, error)) error {
	s := &Service{config: Config{Dir: dir}}
	if _, err := os.Stat(filepath.Join(s.dir(id), configFile)); err != nil {
		return nil // removed by who was quicker
	}
	c, unlock, err := s.lockContainer(id)
	if err != nil {
		return unlessGone(err)
	}
	defer unlock()
	if s, err = open(); err != nil {
		return err
	}
	runtime, err := s.runtime()
	if err != nil {
		return err
	}
	_, err = s.settleLocked(ctx, runtime, c)
	var gone *NotFoundError
	if errors.As(err, &gone) {
		container.RemoveEmptyGroups(s.config.CgroupParent)
	}
	return unlessGone(err)
}

func unlessGone(err error) error {
	var gone *NotFoundError
	if errors.As(err, &gone) {
		return nil
	}
	return err
}
