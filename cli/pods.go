package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/assemble"
	"dhow/container"
	"dhow/engine"
	"dhow/engine/health"
)

// Labels by which a node agent marks what it runs (kubelet's).
const (
	podNameLabel       = "io.kubernetes.pod.name"
	podNamespaceLabel  = "io.kubernetes.pod.namespace"
	containerNameLabel = "io.kubernetes.container.name"
)

// podContainers are the containers that pods on this node had when it was opened, in the form of the engine's own. They
// can be looked at; to change them is their node's business.
type podContainers struct{ runtime *container.Engine }

func openPods(env *environment) (podContainers, error) {
	config, err := nodeConfig(env)
	if err != nil {
		return podContainers{}, err
	}
	runtime, _, err := assemble.Engine(config)
	return podContainers{runtime}, err
}

// errNoPodContainer: no pod's container is called so. It says what helps.
var errNoPodContainer = errors.New("dhow ps -a lists them")

// find gives the id of what a user calls a pod's container: its id or the beginning of one, its name, or pod/name;
// running ones come before ended ones, newer before older.
func (p podContainers) find(ctx context.Context, ref string) (string, error) {
	list, err := p.runtime.ListContainers(ctx, nil)
	if err != nil {
		return "", err
	}
	slices.SortFunc(list, func(a, b *cri.Container) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.CreatedAt, a.CreatedAt))
	})
	for _, match := range []func(*cri.Container) bool{
		func(c *cri.Container) bool { return c.Id == ref },
		func(c *cri.Container) bool { return podContainerName(c.Labels, c.Metadata) == ref },
		func(c *cri.Container) bool { return c.Labels[podNameLabel]+"/"+c.GetMetadata().GetName() == ref },
		func(c *cri.Container) bool { return podOf(c.Labels) == ref },
		func(c *cri.Container) bool { return c.GetMetadata().GetName() == ref },
		func(c *cri.Container) bool { return c.Labels[podNameLabel] == ref },
		func(c *cri.Container) bool { return len(ref) >= 3 && strings.HasPrefix(c.Id, ref) },
	} {
		if i := slices.IndexFunc(list, match); i >= 0 {
			return list[i].Id, nil
		}
	}
	return "", fmt.Errorf("No such container: %s (%w)", ref, errNoPodContainer)
}

func rank(c *cri.Container) int {
	if c.State == cri.ContainerState_CONTAINER_RUNNING {
		return 0
	}
	return 1
}

func podOf(labels map[string]string) string {
	if labels[podNameLabel] == "" {
		return ""
	}
	return labels[podNamespaceLabel] + "/" + labels[podNameLabel]
}

// podContainerName is as the kubelet named docker's containers, without the parts that nobody reads.
func podContainerName(labels map[string]string, m *cri.ContainerMetadata) string {
	if labels[podNameLabel] == "" {
		return m.GetName()
	}
	return "k8s_" + m.GetName() + "_" + labels[podNameLabel] + "_" + labels[podNamespaceLabel]
}

// Get finds one as find does, and tells all of it.
func (p podContainers) Get(ctx context.Context, ref string) (*engine.Container, error) {
	id, err := p.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	status, err := p.runtime.ContainerStatus(ctx, id)
	if err != nil {
		return nil, err
	}
	d, err := p.runtime.Details(ctx, id)
	if err != nil {
		return nil, err
	}
	c := podContainer(status)
	addDetails(c, d)
	return c, nil
}

// List is without what is removed meanwhile, and without what only the records and the shim of each could tell.
func (p podContainers) List(ctx context.Context) ([]*engine.Container, error) {
	list, err := p.runtime.ListContainers(ctx, nil)
	if err != nil {
		return nil, err
	}
	var all []*engine.Container
	for _, one := range list {
		status, err := p.runtime.ContainerStatus(ctx, one.Id)
		if errors.Is(err, container.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, podContainer(status))
	}
	return all, nil
}

func (p podContainers) Details(ctx context.Context, c *engine.Container) (*container.Details, error) {
	return p.runtime.Details(ctx, c.ID)
}

// Health is told by probes, which the node agent keeps to itself.
func (p podContainers) Health(*engine.Container) string { return "" }

func (p podContainers) HealthState(*engine.Container) *health.State { return nil }

// Files are those that come from the pod, or from the node agent by a mount.
func (p podContainers) Files(c *engine.Container) map[string]string {
	files := map[string]string{}
	if d, err := p.runtime.Details(context.Background(), c.ID); err == nil { // it may just be removed
		for _, m := range d.Mounts {
			files[m.Target] = m.Source
		}
	}
	return files
}

func (p podContainers) LogPath(id string) string {
	status, err := p.runtime.ContainerStatus(context.Background(), id)
	if err != nil { // it may just be removed
		return ""
	}
	return status.LogPath
}

func (p podContainers) Sizes(ctx context.Context, c *engine.Container) (own, total int64) {
	d, err := p.runtime.Details(ctx, c.ID)
	if err != nil {
		return 0, 0
	}
	return engine.SizesOf(d.Upper, d.Lower)
}

func (p podContainers) Usage(ctx context.Context, list []*engine.Container) (map[string]*container.Usage, error) {
	return engine.UsageOf(ctx, p.runtime, list), nil
}

func (p podContainers) Top(ctx context.Context, id string) ([]container.Process, error) {
	return p.runtime.Top(ctx, id)
}
