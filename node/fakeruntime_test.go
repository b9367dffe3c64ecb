package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
	"dhow/image"
	"dhow/internal/rootfs"
)

// fakeRuntime is a container.Runtime of maps. Tests end its containers and see what it was asked to do.
type fakeRuntime struct {
	mu         sync.Mutex
	serial     int
	sandboxes  map[string]*cri.PodSandboxStatus
	containers map[string]*fakeContainer
	calls      []string
	listeners  []chan *cri.ContainerEventResponse
	execute    func(name string, command []string) (int, error)
	deaf       map[string]bool // containers that end by force only, by name
}

type fakeContainer struct {
	status  *cri.ContainerStatus
	sandbox string
	config  *cri.ContainerConfig
}

func newFakeRuntime() *fakeRuntime {
	return &fakeRuntime{sandboxes: map[string]*cri.PodSandboxStatus{}, containers: map[string]*fakeContainer{}, deaf: map[string]bool{}}
}

var _ container.Runtime = (*fakeRuntime)(nil)

func (f *fakeRuntime) note(format string, args ...any) {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fakeRuntime) did(call string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.calls, call)
}

func (f *fakeRuntime) order() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *fakeRuntime) emit(sandbox string) {
	s := f.sandboxes[sandbox]
	if s == nil {
		return
	}
	for _, l := range f.listeners {
		select {
		case l <- &cri.ContainerEventResponse{PodSandboxStatus: s}:
		default:
		}
	}
}

func (f *fakeRuntime) id(prefix string) string {
	f.serial++
	return fmt.Sprintf("%s%03d", prefix, f.serial)
}

func (f *fakeRuntime) RunPodSandbox(_ context.Context, c *cri.PodSandboxConfig, _ string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := f.id("s")
	f.note("sandbox %s", c.Metadata.Name)
	f.sandboxes[id] = &cri.PodSandboxStatus{
		Id: id, Metadata: c.Metadata, Labels: c.Labels, CreatedAt: int64(f.serial),
		Network: &cri.PodSandboxNetworkStatus{Ip: "127.0.0.1"}, // tests' own servers answer there
	}
	return id, nil
}

func (f *fakeRuntime) StopPodSandbox(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.sandboxes[id]; s != nil && s.State == cri.PodSandboxState_SANDBOX_READY {
		f.note("stop sandbox %s", s.Metadata.Name)
		s.State = cri.PodSandboxState_SANDBOX_NOTREADY
	}
	for _, c := range f.containers {
		if c.sandbox == id && c.status.State == cri.ContainerState_CONTAINER_RUNNING {
			f.exitLocked(c, 137)
		}
	}
	return nil
}

func (f *fakeRuntime) RemovePodSandbox(ctx context.Context, id string) error {
	if err := f.StopPodSandbox(ctx, id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.sandboxes[id]; s != nil {
		f.note("remove sandbox %s", s.Metadata.Name)
	}
	for cid, c := range f.containers {
		if c.sandbox == id {
			delete(f.containers, cid)
		}
	}
	delete(f.sandboxes, id)
	return nil
}

func (f *fakeRuntime) PodSandboxStatus(_ context.Context, id string) (*cri.PodSandboxStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sandboxes[id]
	if s == nil {
		return nil, container.ErrNotFound
	}
	return &cri.PodSandboxStatus{Id: s.Id, Metadata: s.Metadata, State: s.State, Labels: s.Labels, Network: s.Network, CreatedAt: s.CreatedAt}, nil
}

func hasLabels(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

func (f *fakeRuntime) ListPodSandbox(_ context.Context, filter *cri.PodSandboxFilter) ([]*cri.PodSandbox, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*cri.PodSandbox
	for _, s := range f.sandboxes {
		if hasLabels(s.Labels, filter.GetLabelSelector()) {
			all = append(all, &cri.PodSandbox{Id: s.Id, Metadata: s.Metadata, State: s.State, Labels: s.Labels, CreatedAt: s.CreatedAt})
		}
	}
	return all, nil
}

func (f *fakeRuntime) CreateContainer(_ context.Context, sandbox string, c *cri.ContainerConfig, _ *cri.PodSandboxConfig) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := f.id("c")
	f.containers[id] = &fakeContainer{sandbox: sandbox, config: c, status: &cri.ContainerStatus{
		Id: id, Metadata: c.Metadata, Labels: c.Labels, Image: c.Image, ImageId: c.Image.Image, CreatedAt: time.Now().UnixNano(),
	}}
	return id, nil
}

func (f *fakeRuntime) StartContainer(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.containers[id]
	f.note("start %s", c.config.Metadata.Name)
	c.status.State, c.status.StartedAt = cri.ContainerState_CONTAINER_RUNNING, time.Now().UnixNano()
	f.emit(c.sandbox)
	return nil
}

// exit ends the newest start of the container named, as its process would.
func (f *fakeRuntime) exit(name string, code int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.containers {
		if c.config.Metadata.Name == name && c.status.State == cri.ContainerState_CONTAINER_RUNNING {
			f.exitLocked(c, code)
		}
	}
}

func (f *fakeRuntime) exitLocked(c *fakeContainer, code int32) {
	c.status.State, c.status.ExitCode, c.status.FinishedAt = cri.ContainerState_CONTAINER_EXITED, code, time.Now().UnixNano()
	c.status.Reason = "Error"
	if code == 0 {
		c.status.Reason = "Completed"
	}
	f.emit(c.sandbox)
}

func (f *fakeRuntime) StopContainer(ctx context.Context, id string, timeout time.Duration) error {
	f.mu.Lock()
	c := f.containers[id]
	if c == nil || c.status.State != cri.ContainerState_CONTAINER_RUNNING {
		f.mu.Unlock()
		return nil
	}
	name := c.config.Metadata.Name
	f.note("stop %s", name)
	deaf := f.deaf[name]
	f.mu.Unlock()
	code := int32(143)
	if deaf {
		select {
		case <-time.After(timeout):
			code = 137
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exitLocked(c, code)
	return nil
}

func (f *fakeRuntime) RemoveContainer(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.containers, id)
	return nil
}

func (f *fakeRuntime) ContainerStatus(_ context.Context, id string) (*cri.ContainerStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.containers[id]
	if c == nil {
		return nil, container.ErrNotFound
	}
	s := c.status
	return &cri.ContainerStatus{
		Id: s.Id, Metadata: s.Metadata, State: s.State, CreatedAt: s.CreatedAt, StartedAt: s.StartedAt, FinishedAt: s.FinishedAt,
		ExitCode: s.ExitCode, Reason: s.Reason, Labels: s.Labels, Image: s.Image, ImageId: s.ImageId, LogPath: s.LogPath,
	}, nil
}

func (f *fakeRuntime) ListContainers(_ context.Context, filter *cri.ContainerFilter) ([]*cri.Container, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*cri.Container
	for id, c := range f.containers {
		if hasLabels(c.config.Labels, filter.GetLabelSelector()) && (filter.GetState() == nil || filter.State.State == c.status.State) {
			all = append(all, &cri.Container{Id: id, PodSandboxId: c.sandbox, Metadata: c.config.Metadata, Labels: c.config.Labels, State: c.status.State})
		}
	}
	return all, nil
}

// config is how the newest start of a container was made.
func (f *fakeRuntime) config(name string) *cri.ContainerConfig {
	f.mu.Lock()
	defer f.mu.Unlock()
	var newest *fakeContainer
	for _, c := range f.containers {
		if c.config.Metadata.Name == name && (newest == nil || c.config.Metadata.Attempt > newest.config.Metadata.Attempt) {
			newest = c
		}
	}
	if newest == nil {
		return nil
	}
	return newest.config
}

func (f *fakeRuntime) Exec(_ context.Context, id string, o container.ExecOptions) (int, error) {
	f.mu.Lock()
	name := f.containers[id].config.Metadata.Name
	f.note("exec %s %v", name, o.Command)
	execute := f.execute
	f.mu.Unlock()
	if execute == nil {
		return 0, nil
	}
	return execute(name, o.Command)
}

func (f *fakeRuntime) Events(ctx context.Context) <-chan *cri.ContainerEventResponse {
	f.mu.Lock()
	defer f.mu.Unlock()
	events := make(chan *cri.ContainerEventResponse, 1000)
	f.listeners = append(f.listeners, events)
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.listeners = slices.DeleteFunc(f.listeners, func(l chan *cri.ContainerEventResponse) bool { return l == events })
		close(events)
	})
	return events
}

func (f *fakeRuntime) Status(context.Context) (*cri.RuntimeStatus, error) {
	return &cri.RuntimeStatus{}, nil
}

func (f *fakeRuntime) Version(context.Context) (*cri.VersionResponse, error) {
	return &cri.VersionResponse{RuntimeName: "fake", RuntimeVersion: "1"}, nil
}

var errUnused = errors.New("the agent does not do this")

func (f *fakeRuntime) UpdateContainerResources(context.Context, string, *cri.ContainerResources) error {
	return errUnused
}
func (f *fakeRuntime) ReopenContainerLog(context.Context, string) error { return nil }
func (f *fakeRuntime) Attach(context.Context, string, container.Streams) error {
	return errUnused
}
func (f *fakeRuntime) PortForward(context.Context, string, int32, io.ReadWriteCloser) error {
	return errUnused
}
func (f *fakeRuntime) ContainerStats(context.Context, string) (*cri.ContainerStats, error) {
	return nil, errUnused
}
func (f *fakeRuntime) ListContainerStats(context.Context, *cri.ContainerStatsFilter) ([]*cri.ContainerStats, error) {
	return nil, errUnused
}
func (f *fakeRuntime) PodSandboxStats(context.Context, string) (*cri.PodSandboxStats, error) {
	return nil, errUnused
}
func (f *fakeRuntime) ListPodSandboxStats(context.Context, *cri.PodSandboxStatsFilter) ([]*cri.PodSandboxStats, error) {
	return nil, errUnused
}

// fakeImages has the images that a test says, and refuses to pull others.
type fakeImages struct {
	mu      sync.Mutex
	present map[string]bool
	remote  map[string]bool
	pulls   int
}

var _ image.Service = (*fakeImages)(nil)

func (f *fakeImages) PullImage(_ context.Context, ref string, _ *cri.AuthConfig, _ func(image.Progress)) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pulls++
	if !f.remote[ref] {
		return "", fmt.Errorf("%s: %w", ref, image.ErrNotFound)
	}
	f.present[ref] = true
	return ref, nil
}

func (f *fakeImages) ImageStatus(_ context.Context, ref string) (*cri.Image, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.present[ref] {
		return nil, nil
	}
	return &cri.Image{Id: ref}, nil
}

func (f *fakeImages) ListImages(context.Context) ([]*cri.Image, error) { return nil, nil }
func (f *fakeImages) RemoveImage(context.Context, string) error        { return errUnused }
func (f *fakeImages) UsedBytes(context.Context) (uint64, error)        { return 0, errUnused }
func (f *fakeImages) RemoveSnapshot(context.Context, string) error     { return errUnused }
func (f *fakeImages) Snapshot(context.Context, string, string) (*rootfs.Snapshot, error) {
	return nil, errUnused
}
