package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	Top(ctx context.Context, ref string) ([]container.Process, error)
}

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

// locate looks for a container among the engine's own, and then among those of pods.
func locate(ctx context.Context, service *engine.Service, pods podContainers, ref string) (*engine.Container, roster, error) {
	c, err := service.Get(ctx, ref)
	var missing *engine.NotFoundError
	if !errors.As(err, &missing) {
		return c, service, err
	}
	c, err = pods.Get(ctx, ref)
	return c, pods, err
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

// Get finds one as find does.
func (p podContainers) Get(ctx context.Context, ref string) (*engine.Container, error) {
	id, err := p.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	return p.record(ctx, id)
}

// List is without what is removed meanwhile.
func (p podContainers) List(ctx context.Context) ([]*engine.Container, error) {
	list, err := p.runtime.ListContainers(ctx, nil)
	if err != nil {
		return nil, err
	}
	var all []*engine.Container
	for _, one := range list {
		c, err := p.record(ctx, one.Id)
		if errors.Is(err, container.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, c)
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

func (p podContainers) Top(ctx context.Context, ref string) ([]container.Process, error) {
	id, err := p.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	return p.runtime.Top(ctx, id)
}

// record is a pod's container as the engine would have written it down.
func (p podContainers) record(ctx context.Context, id string) (*engine.Container, error) {
	status, err := p.runtime.ContainerStatus(ctx, id)
	if err != nil {
		return nil, err
	}
	d, err := p.runtime.Details(ctx, id)
	if err != nil {
		return nil, err
	}
	linux, extra := d.Config.GetLinux(), d.Extra
	security := linux.GetSecurityContext()
	extra.NoNewPrivileges = extra.NoNewPrivileges || security.GetNoNewPrivs()
	c := &engine.Container{
		ID: id, Name: podContainerName(status.Labels, status.Metadata), Created: time.Unix(0, status.CreatedAt), ImageID: status.ImageId,
		Spec: engine.Spec{
			Image: imageOf(status), Hostname: hostnameIn(d.Env), Annotations: status.Annotations, NetworkMode: "container:" + d.SandboxID,
			TTY: d.Config.GetTty(), Stdin: d.Config.GetStdin(), StdinOnce: d.Config.GetStdinOnce(), ReadOnly: security.GetReadonlyRootfs(),
			Privileged: security.GetPrivileged(), CapAdd: security.GetCapabilities().GetAddCapabilities(), CapDrop: security.GetCapabilities().GetDropCapabilities(),
			Resources: linux.GetResources(), Extra: extra,
		},
		Run:    engine.Resolved{Command: d.Args, Env: d.Env, WorkingDir: d.Cwd, User: d.User, Labels: status.Labels},
		Mounts: mountPoints(status.Mounts), State: stateOf(status, d),
	}
	return c, nil
}

// imageOf is the image as the pod calls it.
func imageOf(s *cri.ContainerStatus) string {
	return cmp.Or(s.GetImage().GetUserSpecifiedImage(), short(strings.TrimPrefix(s.GetImage().GetImage(), "sha256:")))
}

func hostnameIn(env []string) string {
	for _, e := range env {
		if name, ok := strings.CutPrefix(e, "HOSTNAME="); ok {
			return name
		}
	}
	return ""
}

func mountPoints(mounts []*cri.Mount) []engine.MountPoint {
	var all []engine.MountPoint
	for _, m := range mounts {
		propagation := map[cri.MountPropagation]string{
			cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER: "rslave", cri.MountPropagation_PROPAGATION_BIDIRECTIONAL: "rshared",
		}[m.Propagation]
		all = append(all, engine.MountPoint{
			Mount: engine.Mount{Type: engine.MountBind, Source: m.HostPath, Target: m.ContainerPath, ReadOnly: m.Readonly, Recursive: m.RecursiveReadOnly, Propagation: propagation},
			Path:  m.HostPath,
		})
	}
	return all
}

func stateOf(s *cri.ContainerStatus, d *container.Details) engine.State {
	state := engine.State{Status: engine.Created, Sandbox: d.SandboxID, Runtime: s.Id, Paused: d.Paused, Restarts: d.Restarts, Error: s.Message}
	if s.StartedAt > 0 {
		state.Started = time.Unix(0, s.StartedAt)
	}
	switch {
	case s.State == cri.ContainerState_CONTAINER_EXITED:
		state.Status, state.Finished, state.ExitCode, state.OOM = engine.Exited, time.Unix(0, s.FinishedAt), int(s.ExitCode), d.Exit != nil && d.Exit.OOM
	case d.Paused:
		state.Status = engine.Paused
	case s.State == cri.ContainerState_CONTAINER_RUNNING:
		state.Status = engine.Running
	}
	return state
}
