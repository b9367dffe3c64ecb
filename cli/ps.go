package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/assemble"
	"dhow/container"
)

// Labels by which a node agent marks what it runs (kubelet's).
const (
	podNameLabel       = "io.kubernetes.pod.name"
	podNamespaceLabel  = "io.kubernetes.pod.namespace"
	containerNameLabel = "io.kubernetes.container.name"
)

func newPsCommand(env *environment) *cobra.Command {
	var all, quiet bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List the containers on this node",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			engine, err := openEngine(env)
			if err != nil {
				return err
			}
			return listContainers(cmd.Context(), env, engine, all, quiet)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also those that do not run")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "only ids")
	return cmd
}

func openEngine(env *environment) (*container.Engine, error) {
	config, err := nodeConfig(env)
	if err != nil {
		return nil, err
	}
	engine, _, err := assemble.Engine(config)
	return engine, err
}

func listContainers(ctx context.Context, env *environment, engine *container.Engine, all, quiet bool) error {
	list, err := engine.ListContainers(ctx, nil)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b *cri.Container) int { return cmp.Compare(b.CreatedAt, a.CreatedAt) })
	table := tabwriter.NewWriter(env.Stdout, 0, 8, 3, ' ', 0)
	if !quiet {
		fmt.Fprintln(table, "CONTAINER ID\tIMAGE\tCREATED\tSTATUS\tPOD\tNAME")
	}
	for _, c := range list {
		if !all && c.State != cri.ContainerState_CONTAINER_RUNNING {
			continue
		}
		if quiet {
			fmt.Fprintln(table, short(c.Id))
			continue
		}
		status, err := engine.ContainerStatus(ctx, c.Id)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", short(c.Id), imageOf(c), since(c.CreatedAt)+" ago", statusText(status), podOf(c.Labels), c.GetMetadata().GetName())
	}
	return table.Flush()
}

func short(id string) string { return id[:min(12, len(id))] }

func imageOf(c *cri.Container) string {
	if name := c.GetImage().GetUserSpecifiedImage(); name != "" {
		return name
	}
	return short(strings.TrimPrefix(c.GetImage().GetImage(), "sha256:"))
}

func podOf(labels map[string]string) string {
	if labels[podNameLabel] == "" {
		return ""
	}
	return labels[podNamespaceLabel] + "/" + labels[podNameLabel]
}

// statusText is as docker ps says it.
func statusText(s *cri.ContainerStatus) string {
	switch s.State {
	case cri.ContainerState_CONTAINER_RUNNING:
		return "Up " + since(s.StartedAt)
	case cri.ContainerState_CONTAINER_EXITED:
		return fmt.Sprintf("Exited (%d) %s ago", s.ExitCode, since(s.FinishedAt))
	default:
		return "Created"
	}
}

// since is a time ago in the words of docker.
func since(nanoseconds int64) string {
	d := time.Since(time.Unix(0, nanoseconds))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d seconds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

// findContainer resolves what a user calls a container: its id or the beginning of one, its name, or pod/name;
// running ones come before ended ones, newer before older.
func findContainer(ctx context.Context, engine *container.Engine, ref string) (*cri.Container, error) {
	list, err := engine.ListContainers(ctx, nil)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b *cri.Container) int {
		if a.State != b.State {
			return cmp.Compare(rank(a), rank(b))
		}
		return cmp.Compare(b.CreatedAt, a.CreatedAt)
	})
	for _, match := range []func(*cri.Container) bool{
		func(c *cri.Container) bool { return c.Id == ref },
		func(c *cri.Container) bool { return c.Labels[podNameLabel]+"/"+c.GetMetadata().GetName() == ref },
		func(c *cri.Container) bool { return podOf(c.Labels) == ref },
		func(c *cri.Container) bool { return c.GetMetadata().GetName() == ref },
		func(c *cri.Container) bool { return c.Labels[podNameLabel] == ref },
		func(c *cri.Container) bool { return len(ref) >= 3 && strings.HasPrefix(c.Id, ref) },
	} {
		if i := slices.IndexFunc(list, match); i >= 0 {
			return list[i], nil
		}
	}
	return nil, fmt.Errorf("no such container: %s (dhow ps -a lists them)", ref)
}

func rank(c *cri.Container) int {
	if c.State == cri.ContainerState_CONTAINER_RUNNING {
		return 0
	}
	return 1
}
