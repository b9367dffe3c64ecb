package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dhow/cli/output"
	"dhow/engine"
	"dhow/engine/networks"
	"dhow/engine/volumes"
	"dhow/image"
)

// prune is a command that removes what is not used, after it has asked.
type prune struct {
	short, warning string
	filters        []string // that it knows
	// remove prints what it has removed, and returns the bytes that are free now; negative: they are not told.
	remove func(ctx context.Context, service *engine.Service, images *image.Store, f output.Filters) (int64, error)
	// ask, if not nil, is a warning that depends on flags.
	ask func() string
}

func (p prune) command(env *environment) *cobra.Command {
	var force bool
	var flags []string
	cmd := &cobra.Command{
		Use: "prune [flags]", Short: p.short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := output.ParseFilters(flags, p.filters...)
			if err != nil {
				return err
			}
			if _, err := f.Time("until", time.Now()); err != nil {
				return err
			}
			if p.ask != nil {
				p.warning = p.ask()
			}
			if !force && !askYes(env, "WARNING! This will remove "+p.warning) {
				return nil
			}
			service, images, err := openService(env)
			if err != nil {
				return err
			}
			freed, err := p.remove(cmd.Context(), service, images, f)
			if freed >= 0 {
				fmt.Fprintf(env.Stdout, "Total reclaimed space: %s\n", output.Size(uint64(freed)))
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	cmd.Flags().StringArrayVar(&flags, "filter", nil, "only those that pass: "+strings.Join(p.filters, ", "))
	return cmd
}

// deleted prints what has gone.
func deleted(env *environment, what string, names []string) {
	if len(names) > 0 {
		fmt.Fprintf(env.Stdout, "Deleted %s:\n%s\n\n", what, strings.Join(names, "\n"))
	}
}

// wanted makes a test of the filters label, label! and until.
func wanted(f output.Filters) func(map[string]string, time.Time) bool {
	until, _ := f.Time("until", time.Now()) // looked at before
	return func(labels map[string]string, made time.Time) bool {
		return f.Labels("label", labels) && f.Without(labels) && (until.IsZero() || made.Before(until))
	}
}

func newContainerPruneCommand(env *environment) *cobra.Command {
	return prune{
		short: "Remove all containers that do not run", warning: "all stopped containers.", filters: []string{"label", "label!", "until"},
		remove: func(ctx context.Context, service *engine.Service, _ *image.Store, f output.Filters) (int64, error) {
			return pruneContainers(ctx, env, service, f)
		},
	}.command(env)
}

func pruneContainers(ctx context.Context, env *environment, service *engine.Service, f output.Filters) (int64, error) {
	want := wanted(f)
	gone, freed, err := service.Prune(ctx, func(c *engine.Container) bool { return want(c.Run.Labels, c.Created) })
	deleted(env, "Containers", gone)
	return freed, err
}

func newNetworkPruneCommand(env *environment) *cobra.Command {
	return prune{
		short: "Remove networks that no container is to be in", warning: "all custom networks not used by at least one container.",
		filters: []string{"label", "label!", "until"},
		remove: func(_ context.Context, service *engine.Service, _ *image.Store, f output.Filters) (int64, error) {
			return -1, pruneNetworks(env, service, f)
		},
	}.command(env)
}

func pruneNetworks(env *environment, service *engine.Service, f output.Filters) error {
	want := wanted(f)
	gone, err := service.PruneNetworks(func(w *networks.Network) bool { return want(w.Labels, w.Created) })
	deleted(env, "Networks", gone)
	return err
}

func newVolumePruneCommand(env *environment) *cobra.Command {
	all := false
	p := prune{short: "Remove volumes that no container has", filters: []string{"label", "label!"}}
	p.ask = func() string {
		return map[bool]string{true: "all", false: "anonymous"}[all] + " local volumes not used by at least one container."
	}
	p.remove = func(_ context.Context, service *engine.Service, _ *image.Store, f output.Filters) (int64, error) {
		return pruneVolumes(env, service, all, f)
	}
	cmd := p.command(env)
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also those with names")
	return cmd
}

func pruneVolumes(env *environment, service *engine.Service, all bool, f output.Filters) (int64, error) {
	want := wanted(f)
	gone, freed, err := service.PruneVolumes(func(v *volumes.Volume) bool { return (all || v.Anonymous) && want(v.Labels, v.Created) })
	slices.Sort(gone)
	deleted(env, "Volumes", gone)
	return freed, err
}

func newSystemPruneCommand(env *environment) *cobra.Command {
	var all, withVolumes bool
	p := prune{short: "Remove what is not used: containers, networks, images", filters: []string{"label", "label!", "until"}}
	p.ask = func() string {
		what := []string{"all stopped containers", "all networks not used by at least one container"}
		if withVolumes {
			what = append(what, "all anonymous volumes not used by at least one container")
		}
		images := "all dangling images"
		if all {
			images = "all images without at least one container associated to them"
		}
		return strings.Join(append(what, images), ", ") + "."
	}
	p.remove = func(ctx context.Context, service *engine.Service, images *image.Store, f output.Filters) (int64, error) {
		freed, failed := pruneContainers(ctx, env, service, f)
		failed = errors.Join(failed, pruneNetworks(env, service, f))
		if withVolumes {
			more, err := pruneVolumes(env, service, false, f)
			freed, failed = freed+more, errors.Join(failed, err)
		}
		want := wanted(f)
		gone, err := images.Prune(ctx, image.PruneOptions{All: all, Wanted: func(d *image.Details) bool { return want(d.Spec.Config.Labels, d.Stored) }})
		if len(gone.Untagged)+len(gone.Deleted) > 0 {
			fmt.Fprintln(env.Stdout, "Deleted Images:")
			printRemoved(env, "untagged", "deleted", gone)
			fmt.Fprintln(env.Stdout)
		}
		return freed + int64(gone.Bytes), errors.Join(failed, err)
	}
	cmd := p.command(env)
	cmd.Flags().BoolVarP(&all, "all", "a", false, "all images that no container uses")
	cmd.Flags().BoolVar(&withVolumes, "volumes", false, "also anonymous volumes")
	return cmd
}
