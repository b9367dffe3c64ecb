package cli

import (
	"context"
	"errors"
	"slices"

	"dhow/container"
	"dhow/engine"
	"dhow/engine/health"
)

// roster knows containers: the engine its own, podContainers those of pods.
type roster interface {
	List(ctx context.Context) ([]*engine.Container, error)
	Details(ctx context.Context, c *engine.Container) (*container.Details, error)
	Health(c *engine.Container) string
	HealthState(c *engine.Container) *health.State
	Files(c *engine.Container) map[string]string
	LogPath(id string) string
	Sizes(ctx context.Context, c *engine.Container) (own, total int64)
	Usage(ctx context.Context, list []*engine.Container) (map[string]*container.Usage, error)
	Top(ctx context.Context, id string) ([]container.Process, error)
}

// listed is a container of a list, and who knows it.
type listed struct {
	*engine.Container
	from roster
}

// listAll are all containers, the newest first.
func listAll(ctx context.Context, rosters ...roster) ([]listed, error) {
	var all []listed
	for _, from := range rosters {
		some, err := from.List(ctx)
		if err != nil {
			return nil, err
		}
		for _, c := range some {
			all = append(all, listed{c, from})
		}
	}
	slices.SortStableFunc(all, func(a, b listed) int { return b.Created.Compare(a.Created) })
	return all, nil
}

// locate looks for a container among the engine's own, and then among those of pods, which are opened only then.
func locate(ctx context.Context, service *engine.Service, open func() (podContainers, error), ref string) (*engine.Container, roster, error) {
	c, err := service.Get(ctx, ref)
	var missing *engine.NotFoundError
	if !errors.As(err, &missing) {
		return c, service, err
	}
	pods, err := open()
	if err != nil {
		return nil, nil, err
	}
	c, err = pods.Get(ctx, ref)
	return c, pods, err
}
