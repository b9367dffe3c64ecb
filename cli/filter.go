package cli

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"dhow/cli/output"
	"dhow/engine"
)

// filters are those that were given.
type filters struct{ output.Filters }

// any says whether a key has no values, or one that matches.
func (f filters) any(key string, match func(string) bool) bool {
	return len(f.Filters[key]) == 0 || slices.ContainsFunc(f.Filters[key], match)
}

// containerFilter makes a test of docker ps' filters.
func containerFilter(service *engine.Service, texts []string) (func(*engine.Container) bool, error) {
	parsed, err := output.ParseFilters(texts, "id", "name", "label", "status", "exited", "ancestor", "volume", "network", "health", "restart-policy",
		"before", "since", "until", "publish", "expose", "is-task", "label!")
	if err != nil {
		return nil, err
	}
	f := filters{parsed}
	var before, after time.Time
	for key, at := range map[string]*time.Time{"before": &before, "since": &after} {
		for _, ref := range f.Filters[key] {
			c, err := service.Find(ref)
			if err != nil {
				return nil, err
			}
			*at = c.Created
		}
	}
	for _, text := range f.Filters["name"] {
		if _, err := regexp.Compile(text); err != nil {
			return nil, fmt.Errorf("invalid filter 'name=%s': %w", text, err)
		}
	}
	for _, status := range f.Filters["status"] {
		if !slices.Contains([]string{engine.Created, engine.Running, engine.Paused, engine.Restarting, engine.Exited, "removing", "dead"}, status) {
			return nil, fmt.Errorf("invalid filter 'status=%s'", status)
		}
	}
	until, err := f.Time("until", time.Now())
	if err != nil {
		return nil, err
	}
	return func(c *engine.Container) bool {
		return f.identity(c) && f.condition(service, c) && f.belongings(c) &&
			(before.IsZero() || c.Created.Before(before)) && (after.IsZero() || c.Created.After(after)) && (until.IsZero() || c.Created.Before(until))
	}, nil
}

func (f filters) identity(c *engine.Container) bool {
	return f.any("id", func(v string) bool { return strings.HasPrefix(c.ID, v) }) &&
		f.any("name", func(v string) bool {
			ok, err := regexp.MatchString(v, c.Name)
			slash, _ := regexp.MatchString(v, "/"+c.Name)
			return err == nil && (ok || slash)
		}) &&
		f.Labels("label", c.Run.Labels) && f.Without(c.Run.Labels) &&
		f.any("ancestor", func(v string) bool {
			id := strings.TrimPrefix(c.ImageID, "sha256:")
			return c.Spec.Image == v || strings.TrimSuffix(c.Spec.Image, ":latest") == strings.TrimSuffix(v, ":latest") ||
				c.ImageID == v || len(v) > 3 && strings.HasPrefix(id, v)
		})
}

func (f filters) condition(service *engine.Service, c *engine.Container) bool {
	return f.any("status", func(v string) bool { return c.State.Status == v }) &&
		f.any("exited", func(v string) bool { return c.State.Status == engine.Exited && fmt.Sprint(c.State.ExitCode) == v }) &&
		f.any("health", func(v string) bool {
			health := service.Health(c)
			return health == v || health == "" && v == "none"
		}) &&
		f.any("restart-policy", func(v string) bool {
			policy := c.Spec.Extra.Restart.Policy
			return policy == v || policy == "" && v == "no"
		}) &&
		f.any("is-task", func(v string) bool { return v == "false" })
}

func (f filters) belongings(c *engine.Container) bool {
	ports := func(list []engine.Port) func(string) bool {
		return func(v string) bool {
			number, protocol, _ := strings.Cut(v, "/")
			return slices.ContainsFunc(list, func(p engine.Port) bool {
				return fmt.Sprint(p.Container) == number && (protocol == "" || p.Protocol == protocol)
			})
		}
	}
	return f.any("volume", func(v string) bool {
		return slices.ContainsFunc(c.Mounts, func(m engine.MountPoint) bool { return m.Source == v || m.Target == v })
	}) &&
		f.any("network", func(v string) bool {
			return c.Spec.NetworkMode == v || slices.ContainsFunc(c.Spec.Networks, func(e engine.Endpoint) bool { return e.Network == v })
		}) &&
		f.any("publish", ports(c.Spec.Ports)) && f.any("expose", ports(c.Run.Exposed))
}
