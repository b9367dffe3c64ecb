package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dhow/container"
	"dhow/engine/volumes"
)

// Volumes are the named directories of this engine.
func (s *Service) Volumes() volumes.Store {
	return volumes.Store{Dir: filepath.Join(s.config.Dir, "volumes")}
}

// resolveMounts finds or makes what is to be mounted: the user's mounts, those of other containers, and a new volume
// for each that the image declares.
func (s *Service) resolveMounts(ctx context.Context, c *Container) error {
	for _, m := range c.Spec.Mounts {
		if !filepath.IsAbs(m.Target) {
			return fmt.Errorf("invalid mount config for type %q: invalid mount path: %q mount path must be absolute", m.Type, m.Target)
		}
		if filepath.Clean(m.Target) == "/" {
			return fmt.Errorf("invalid mount config for type %q: invalid specification: destination can't be '/'", m.Type)
		}
		if c.mountAt(m.Target) != nil {
			return fmt.Errorf("Duplicate mount point: %s", m.Target)
		}
		point, err := s.mountPoint(m)
		if err != nil {
			return err
		}
		c.Mounts = append(c.Mounts, *point)
	}
	for _, from := range c.Spec.VolumesFrom {
		if err := s.takeMounts(c, from); err != nil {
			return err
		}
	}
	for _, target := range c.Run.Volumes {
		if c.mountAt(target) != nil || slices.ContainsFunc(c.Spec.Extra.Tmpfs, func(t container.Tmpfs) bool { return filepath.Clean(t.Target) == filepath.Clean(target) }) {
			continue
		}
		point, err := s.mountPoint(Mount{Type: MountVolume, Target: target})
		if err != nil {
			return err
		}
		c.Mounts = append(c.Mounts, *point)
	}
	return nil
}

func (c *Container) mountAt(target string) *MountPoint {
	for i := range c.Mounts {
		if filepath.Clean(c.Mounts[i].Target) == filepath.Clean(target) {
			return &c.Mounts[i]
		}
	}
	return nil
}

func (s *Service) mountPoint(m Mount) (*MountPoint, error) {
	point := &MountPoint{Mount: m, Path: m.Source}
	if m.Type == MountBind {
		if !filepath.IsAbs(m.Source) {
			return nil, fmt.Errorf("invalid mount config for type \"bind\": invalid mount path: %q mount path must be absolute", m.Source)
		}
		return point, nil
	}
	if m.Driver != "" && m.Driver != "local" {
		return nil, fmt.Errorf("volume %s: there is no volume driver %q (there is: local)", m.Source, m.Driver)
	}
	v, err := s.CreateVolume(m.Source, m.Labels, m.Options)
	if err != nil {
		return nil, err
	}
	point.Source, point.Path, point.Anonymous = v.Name, v.Path, m.Source == ""
	return point, nil
}

// takeMounts gives a container the mounts of another one (--volumes-from).
func (s *Service) takeMounts(c *Container, from string) error {
	ref, mode, _ := strings.Cut(from, ":")
	other, err := s.Find(ref)
	if err != nil {
		return err
	}
	for _, m := range other.Mounts {
		if c.mountAt(m.Target) != nil {
			continue
		}
		m.Anonymous = false
		m.ReadOnly = m.ReadOnly || mode == "ro"
		c.Mounts = append(c.Mounts, m)
	}
	return nil
}

// removeAnonymous deletes the volumes that came with a container, unless another one has them too.
func (s *Service) removeAnonymous(c *Container) error {
	var failed error
	for _, m := range c.Mounts {
		if !m.Anonymous {
			continue
		}
		users, err := s.VolumeUsers(m.Source)
		if err != nil {
			return err
		}
		users = slices.DeleteFunc(users, func(u *Container) bool { return u.ID == c.ID })
		if len(users) > 0 {
			continue
		}
		if err := s.Volumes().Remove(m.Source); err != nil && !errors.Is(err, volumes.ErrNotFound) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// VolumeUsers are the containers that have a volume.
func (s *Service) VolumeUsers(name string) ([]*Container, error) {
	list, err := s.all()
	if err != nil {
		return nil, err
	}
	var users []*Container
	for _, c := range list {
		if slices.ContainsFunc(c.Mounts, func(m MountPoint) bool { return m.Type == MountVolume && m.Source == name }) {
			users = append(users, c)
		}
	}
	return users, nil
}

// RemoveVolume deletes a volume that no container has.
func (s *Service) RemoveVolume(name string) error {
	users, err := s.VolumeUsers(name)
	if err != nil {
		return err
	}
	if len(users) > 0 {
		var ids []string
		for _, c := range users {
			ids = append(ids, c.ID)
		}
		return conflict("remove %s: volume is in use - [%s]", name, strings.Join(ids, ", "))
	}
	if err := s.Volumes().Remove(name); err != nil {
		return err
	}
	s.emit("volume", "destroy", name, nil)
	return nil
}

func isEmptyDir(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	names, _ := f.Readdirnames(1)
	return len(names) == 0
}
