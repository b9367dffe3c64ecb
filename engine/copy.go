package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"dhow/engine/treecopy"
)

// CopyOut writes what is at a path in a container as a tar archive whose entries begin with the path's last element.
func (s *Service) CopyOut(ctx context.Context, ref, name string, w io.Writer) error {
	c, err := s.Get(ctx, ref)
	if err != nil {
		return err
	}
	root, err := s.openRoot(ctx, c, false, true)
	if err != nil {
		return err
	}
	defer root.Close()
	parent, base := path.Split(path.Clean("/" + name))
	if base == "" {
		base = "."
	}
	dir, err := within(root, parent, unix.O_PATH|unix.O_DIRECTORY)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("Could not find the file %s in container %s: %w", name, ref, fs.ErrNotExist)
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	in, err := os.OpenRoot(fdPath(dir))
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := in.Lstat(base); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("Could not find the file %s in container %s: %w", name, ref, fs.ErrNotExist)
	}
	return treecopy.Pack(w, in, base, base)
}

// CopyIn unpacks a tar archive into a directory of a container. rename is treecopy.Unpack's.
func (s *Service) CopyIn(ctx context.Context, ref, name string, r io.Reader, rename func(string) string, owners bool) error {
	c, err := s.Get(ctx, ref)
	if err != nil {
		return err
	}
	if c.Spec.ReadOnly {
		return conflict("container rootfs is marked read-only")
	}
	root, err := s.openRoot(ctx, c, true, true)
	if err != nil {
		return err
	}
	defer root.Close()
	dir, err := within(root, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("Could not find the directory %s in container %s: %w", name, ref, err)
	}
	defer dir.Close()
	in, err := os.OpenRoot(fdPath(dir))
	if err != nil {
		return err
	}
	defer in.Close()
	return treecopy.Unpack(r, in, rename, owners)
}

// Export writes a container's root as a tar archive, without what is mounted in it.
func (s *Service) Export(ctx context.Context, ref string, w io.Writer) error {
	c, err := s.Get(ctx, ref)
	if err != nil {
		return err
	}
	root, err := s.openRoot(ctx, c, false, false)
	if err != nil {
		return err
	}
	defer root.Close()
	in, err := os.OpenRoot(fdPath(root))
	if err != nil {
		return err
	}
	defer in.Close()
	if err := treecopy.Pack(w, in, ".", "."); err != nil {
		return fmt.Errorf("export container %s: %w", c.Name, err)
	}
	s.event(c, "export", nil)
	return nil
}
