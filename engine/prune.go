package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"dhow/engine/networks"
	"dhow/engine/volumes"
)

// CreateVolume makes a volume, or finds the one of that name.
func (s *Service) CreateVolume(name string, labels, options map[string]string) (*volumes.Volume, error) {
	_, missing := s.Volumes().Get(name)
	v, err := s.Volumes().Create(volumes.Volume{Name: name, Labels: labels, Options: options})
	if err == nil && missing != nil {
		s.emit("volume", "create", v.Name, nil)
	}
	return v, err
}

// CreateNetwork makes a network.
func (s *Service) CreateNetwork(w networks.Network) (*networks.Network, error) {
	made, err := s.Networks().Create(w)
	if err == nil {
		s.emit("network", "create", made.ID, map[string]string{"name": made.Name, "type": "bridge"})
	}
	return made, err
}

// RemoveNetwork deletes a network that no running container is in.
func (s *Service) RemoveNetwork(ref string) error {
	w, err := s.Networks().Remove(ref)
	if err == nil {
		s.emit("network", "destroy", w.ID, map[string]string{"name": w.Name, "type": "bridge"})
	}
	return err
}

// Prune removes the containers that do not run and pass; it returns their ids and the bytes that they had written.
func (s *Service) Prune(ctx context.Context, pass func(*Container) bool) (gone []string, freed int64, err error) {
	list, err := s.List(ctx)
	if err != nil {
		return nil, 0, err
	}
	for _, c := range list {
		if c.Alive() || !pass(c) {
			continue
		}
		own, _ := s.Sizes(ctx, c)
		if e := s.Remove(ctx, c.ID, false, false); e != nil {
			err = errors.Join(err, fmt.Errorf("remove container %s: %w", c.Name, e))
			continue
		}
		gone, freed = append(gone, c.ID), freed+own
	}
	return gone, freed, err
}

// PruneVolumes removes the volumes that no container has and that pass.
func (s *Service) PruneVolumes(pass func(*volumes.Volume) bool) (gone []string, freed int64, err error) {
	list, err := s.Volumes().List()
	if err != nil {
		return nil, 0, err
	}
	for _, v := range list {
		users, e := s.VolumeUsers(v.Name)
		if e != nil {
			return gone, freed, e
		}
		if len(users) > 0 || !pass(v) {
			continue
		}
		size := sizeOf(v.Path)
		if e := s.RemoveVolume(v.Name); e != nil {
			err = errors.Join(err, e)
			continue
		}
		gone, freed = append(gone, v.Name), freed+size
	}
	return gone, freed, err
}

// PruneNetworks removes the networks that no container joins and that pass.
func (s *Service) PruneNetworks(pass func(*networks.Network) bool) (gone []string, err error) {
	list, err := s.Networks().List()
	if err != nil {
		return nil, err
	}
	containers, err := s.all()
	if err != nil {
		return nil, err
	}
	for _, w := range list {
		used := slices.ContainsFunc(containers, func(c *Container) bool {
			return slices.ContainsFunc(c.Spec.Networks, func(e Endpoint) bool { return e.Network == w.Name || e.Network == w.ID })
		})
		if used || w.Name == bridgeName || !pass(w) {
			continue
		}
		if e := s.RemoveNetwork(w.ID); e != nil {
			err = errors.Join(err, e)
			continue
		}
		gone = append(gone, w.Name)
	}
	return gone, err
}

// VolumeSize is the bytes of a volume's files.
func (s *Service) VolumeSize(v *volumes.Volume) int64 { return sizeOf(v.Path) }
