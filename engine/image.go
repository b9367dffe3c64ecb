package engine

import (
	"context"
	"fmt"

	"dhow/image"
)

// Commit makes an image of a container. Its processes stand still meanwhile, if pause is set and they run.
func (s *Service) Commit(ctx context.Context, ref string, pause bool, o image.Commit) (id string, err error) {
	c, err := s.Get(ctx, ref)
	if err != nil {
		return "", err
	}
	if c.Spec.Extra.RootFS != nil {
		return "", fmt.Errorf("container %s has a plain directory as its root, and no image: use export and import", ref)
	}
	if pause && c.State.Status == Running {
		if err := s.Pause(ctx, c.ID); err != nil {
			return "", err
		}
		defer func() {
			if e := s.Unpause(context.WithoutCancel(ctx), c.ID); err == nil {
				err = e
			}
		}()
	}
	change := o.Change
	o.Change = func(config *image.RunConfig) error {
		config.Entrypoint, config.Cmd, config.Env = c.Run.Entrypoint, c.Run.Command, c.Run.Env
		config.WorkingDir, config.User, config.Labels = c.Run.WorkingDir, c.Run.User, c.Run.Labels
		if change == nil {
			return nil
		}
		return change(config)
	}
	if id, err = s.config.Images.Commit(ctx, c.ID, o); err == nil {
		s.event(c, "commit", map[string]string{"imageID": id})
	}
	return id, err
}
