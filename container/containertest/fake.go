package containertest

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
)

// Fake is a container.Runtime of maps. Tests end its containers and see what it was asked to do. Its containers do
// nothing, unless Play makes them.
type Fake struct {
	// Play does what a container's or an exec's command says; nil for containers that wait for their end, and for execs
	// that Execute answers.
	Play Player
	// Execute answers an exec in the container of a name; all succeed if nil.
	Execute func(name string, command []string) (int, error)

	mu         sync.Mutex
	serial     int
	sandboxes  map[string]*cri.PodSandboxStatus
	dirs       map[string]string // of sandboxes' logs
	containers map[string]*fakeContainer
	calls      []string
	listeners  []chan *cri.ContainerEventResponse
	deaf       map[string]bool // containers that end by force only, by name
}

var _ container.Runtime = (*Fake)(nil)

// NewFake has no pods yet.
func NewFake() *Fake {
	return &Fake{
		sandboxes: map[string]*cri.PodSandboxStatus{}, dirs: map[string]string{}, containers: map[string]*fakeContainer{}, deaf: map[string]bool{},
	}
}

func (f *Fake) note(format string, args ...any) {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

// Did says whether a call was made: "sandbox POD", "start CONTAINER", "stop CONTAINER", "exec CONTAINER [COMMAND]",
// "stop sandbox POD", "remove sandbox POD".
func (f *Fake) Did(call string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.calls, call)
}

// Calls are all calls that were made, in order.
func (f *Fake) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// Deafen makes containers of a name end by force only.
func (f *Fake) Deafen(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deaf[name] = true
}

// Exit ends the containers of a name that run, as their process would.
func (f *Fake) Exit(name string, code int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.containers {
		if c.config.Metadata.Name == name && c.status.State == cri.ContainerState_CONTAINER_RUNNING {
			f.ended(c, code)
		}
	}
}

// EndAll ends every container that runs.
func (f *Fake) EndAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.containers {
		f.ended(c, 137)
	}
}

// Config is how the newest start of a container was made, nil if there was none.
func (f *Fake) Config(name string) *cri.ContainerConfig {
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

// eventBacklog is how far a reader of events may be behind.
const eventBacklog = 256

// emit tells everybody. Who is too slow is dropped. The caller holds mu.
func (f *Fake) emit(kind cri.ContainerEventType, id, sandbox string) {
	s := f.sandboxes[sandbox]
	if s == nil {
		return
	}
	for _, l := range slices.Clone(f.listeners) {
		select {
		case l <- &cri.ContainerEventResponse{ContainerId: id, ContainerEventType: kind, CreatedAt: time.Now().UnixNano(), PodSandboxStatus: copied(s)}:
		default:
			f.drop(l)
		}
	}
}

// drop closes a listener's channel, once. The caller holds mu.
func (f *Fake) drop(l chan *cri.ContainerEventResponse) {
	if i := slices.Index(f.listeners, l); i >= 0 {
		f.listeners = slices.Delete(f.listeners, i, i+1)
		close(l)
	}
}

// copied is a status for callers, which the fake does not change any more.
func copied(s *cri.PodSandboxStatus) *cri.PodSandboxStatus {
	return &cri.PodSandboxStatus{
		Id: s.Id, Metadata: s.Metadata, State: s.State, Labels: s.Labels, Annotations: s.Annotations, Network: s.Network, CreatedAt: s.CreatedAt,
	}
}

func (f *Fake) id(prefix string) string {
	f.serial++
	return fmt.Sprintf("%s%03d", prefix, f.serial)
}

func absent(what, id string) error { return fmt.Errorf("%s %s: %w", what, id, container.ErrNotFound) }

// RunPodSandbox implements container.Runtime.
func (f *Fake) RunPodSandbox(_ context.Context, c *cri.PodSandboxConfig, handler string) (string, error) {
	if handler != "" && handler != "dhow" {
		return "", fmt.Errorf("no runtime handler %q is configured", handler)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	id := f.id("s")
	f.note("sandbox %s", c.Metadata.Name)
	f.dirs[id] = c.LogDirectory
	f.sandboxes[id] = &cri.PodSandboxStatus{
		Id: id, Metadata: c.Metadata, Labels: c.Labels, Annotations: c.Annotations, CreatedAt: time.Now().UnixNano(),
		Network: &cri.PodSandboxNetworkStatus{Ip: "127.0.0.1"}, // tests' own servers answer there
	}
	return id, nil
}

// StopPodSandbox implements container.Runtime.
func (f *Fake) StopPodSandbox(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.sandboxes[id]; s != nil && s.State == cri.PodSandboxState_SANDBOX_READY {
		f.note("stop sandbox %s", s.Metadata.Name)
		s.State = cri.PodSandboxState_SANDBOX_NOTREADY
	}
	for _, c := range f.containers {
		if c.sandbox == id && c.status.State == cri.ContainerState_CONTAINER_RUNNING {
			f.ended(c, 137)
		}
	}
	return nil
}

// RemovePodSandbox implements container.Runtime.
func (f *Fake) RemovePodSandbox(ctx context.Context, id string) error {
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

// PodSandboxStatus implements container.Runtime.
func (f *Fake) PodSandboxStatus(_ context.Context, id string) (*cri.PodSandboxStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sandboxes[id]
	if s == nil {
		return nil, absent("sandbox", id)
	}
	return copied(s), nil
}

func hasLabels(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

// ListPodSandbox implements container.Runtime.
func (f *Fake) ListPodSandbox(_ context.Context, filter *cri.PodSandboxFilter) ([]*cri.PodSandbox, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*cri.PodSandbox
	for _, s := range f.sandboxes {
		if filter.GetId() != "" && filter.Id != s.Id || filter.GetState() != nil && filter.State.State != s.State || !hasLabels(s.Labels, filter.GetLabelSelector()) {
			continue
		}
		all = append(all, &cri.PodSandbox{Id: s.Id, Metadata: s.Metadata, State: s.State, Labels: s.Labels, Annotations: s.Annotations, CreatedAt: s.CreatedAt})
	}
	return all, nil
}

// Events implements container.Runtime.
func (f *Fake) Events(ctx context.Context) <-chan *cri.ContainerEventResponse {
	f.mu.Lock()
	defer f.mu.Unlock()
	events := make(chan *cri.ContainerEventResponse, eventBacklog)
	f.listeners = append(f.listeners, events)
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.drop(events)
	})
	return events
}

// Status implements container.Runtime.
func (f *Fake) Status(context.Context) (*cri.StatusResponse, error) {
	return &cri.StatusResponse{
		Status:          &cri.RuntimeStatus{Conditions: []*cri.RuntimeCondition{{Type: "RuntimeReady", Status: true}, {Type: "NetworkReady", Status: true}}},
		RuntimeHandlers: []*cri.RuntimeHandler{{Features: &cri.RuntimeHandlerFeatures{}}, {Name: "dhow", Features: &cri.RuntimeHandlerFeatures{RecursiveReadOnlyMounts: true}}},
		Features:        &cri.RuntimeFeatures{SupplementalGroupsPolicy: true},
	}, nil
}

// Version implements container.Runtime.
func (f *Fake) Version(context.Context) (*cri.VersionResponse, error) {
	return &cri.VersionResponse{Version: "0.1.0", RuntimeName: "fake", RuntimeVersion: "1", RuntimeApiVersion: "v1"}, nil
}

// PortForward implements container.Runtime: pods' ports are those of this machine's loopback.
func (f *Fake) PortForward(ctx context.Context, id string, port int32, conn io.ReadWriteCloser) error {
	defer conn.Close()
	if _, err := f.PodSandboxStatus(ctx, id); err != nil {
		return err
	}
	var d net.Dialer
	pod, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	if err != nil {
		pod, err = d.DialContext(ctx, "tcp", net.JoinHostPort("::1", strconv.Itoa(int(port))))
	}
	if err != nil {
		return err
	}
	defer pod.Close()
	stop := context.AfterFunc(ctx, func() { pod.Close() })
	defer stop()
	go func() {
		_, _ = io.Copy(pod, conn)
		_ = pod.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(conn, pod)
	return err
}

// ReopenContainerLog implements container.Runtime.
func (f *Fake) ReopenContainerLog(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.runs(id)
	if err != nil {
		return err
	}
	return c.log.open()
}

// runs finds a container that runs. The caller holds mu.
func (f *Fake) runs(id string) (*fakeContainer, error) {
	c := f.containers[id]
	if c == nil {
		return nil, absent("container", id)
	}
	if c.status.State != cri.ContainerState_CONTAINER_RUNNING {
		return nil, fmt.Errorf("container %s is not running", id)
	}
	return c, nil
}
