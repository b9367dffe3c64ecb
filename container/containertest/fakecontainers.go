package containertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
)

// fakeContainer is one of a Fake's. The Fake's mu guards its status.
type fakeContainer struct {
	status    *cri.ContainerStatus
	sandbox   string
	config    *cri.ContainerConfig
	log       *criLog
	out, errs *logged
	feed      *pipe // its standard input, if it has one
	play      Play
	over      chan struct{} // closed when it has ended
}

type pipe struct {
	*io.PipeReader
	*io.PipeWriter
}

// CreateContainer implements container.Runtime.
func (f *Fake) CreateContainer(_ context.Context, sandbox string, c *cri.ContainerConfig, _ *cri.PodSandboxConfig) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.sandboxes[sandbox]
	if s == nil {
		return "", absent("sandbox", sandbox)
	}
	if s.State != cri.PodSandboxState_SANDBOX_READY {
		return "", fmt.Errorf("sandbox %s has stopped", sandbox)
	}
	made := &fakeContainer{sandbox: sandbox, config: c, log: &criLog{}, over: make(chan struct{})}
	if c.LogPath != "" {
		made.log.path = filepath.Join(f.dirs[sandbox], c.LogPath)
	}
	made.out, made.errs = &logged{log: made.log, stream: "stdout"}, &logged{log: made.log, stream: "stderr"}
	id := f.id("c")
	made.status = &cri.ContainerStatus{
		Id: id, Metadata: c.Metadata, Labels: c.Labels, Annotations: c.Annotations, Image: c.Image, ImageId: c.Image.Image, ImageRef: c.Image.Image,
		CreatedAt: time.Now().UnixNano(), LogPath: made.log.path, Resources: &cri.ContainerResources{Linux: c.GetLinux().GetResources()},
	}
	f.containers[id] = made
	f.emit(cri.ContainerEventType_CONTAINER_CREATED_EVENT, id, sandbox)
	return id, nil
}

// StartContainer implements container.Runtime.
func (f *Fake) StartContainer(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.containers[id]
	if c == nil {
		return absent("container", id)
	}
	if c.status.State != cri.ContainerState_CONTAINER_CREATED {
		return fmt.Errorf("container %s was started already", id)
	}
	f.note("start %s", c.config.Metadata.Name)
	if err := f.begin(c); err != nil {
		return err
	}
	c.status.State, c.status.StartedAt = cri.ContainerState_CONTAINER_RUNNING, time.Now().UnixNano()
	c.status.User = fakeUser(c.config)
	f.emit(cri.ContainerEventType_CONTAINER_STARTED_EVENT, id, c.sandbox)
	if c.play != nil {
		go f.follow(c, c.play)
	}
	return nil
}

// begin has the command played. The caller holds mu.
func (f *Fake) begin(c *fakeContainer) (err error) {
	if err := c.log.open(); err != nil || f.Play == nil {
		return err
	}
	p := Process{Command: append(append([]string{}, c.config.Command...), c.config.Args...), Env: environ(c.config), Dir: c.config.WorkingDir}
	p.Streams = container.Streams{Stdout: c.out, Stderr: c.errs, TTY: c.config.Tty}
	if c.config.Stdin {
		r, w := io.Pipe()
		c.feed = &pipe{r, w}
		p.Stdin = r
	}
	c.play, err = f.Play(p)
	var cannot *container.ExecError
	if errors.As(err, &cannot) {
		c.status.State, c.status.ExitCode, c.status.FinishedAt = cri.ContainerState_CONTAINER_EXITED, int32(cannot.Code), time.Now().UnixNano()
		c.status.Reason, c.status.Message = "StartError", cannot.Message
		close(c.over)
		f.emit(cri.ContainerEventType_CONTAINER_STOPPED_EVENT, c.status.Id, c.sandbox)
	}
	return err
}

func environ(c *cri.ContainerConfig) []string {
	var all []string
	for _, e := range c.Envs {
		all = append(all, e.Key+"="+string(e.Value))
	}
	return all
}

// follow waits for the end of what is played.
func (f *Fake) follow(c *fakeContainer, play Play) {
	code := play.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended(c, int32(code))
}

// ended settles a container, once, and ends what is still played of it. The caller holds mu.
func (f *Fake) ended(c *fakeContainer, code int32) {
	if c.status.State != cri.ContainerState_CONTAINER_RUNNING {
		return
	}
	if c.play != nil {
		c.play.Signal(unix.SIGKILL)
	}
	if c.feed != nil {
		c.feed.PipeReader.Close()
	}
	_ = errors.Join(c.out.end(), c.errs.end(), c.log.close())
	c.status.State, c.status.ExitCode, c.status.FinishedAt = cri.ContainerState_CONTAINER_EXITED, code, time.Now().UnixNano()
	c.status.Reason = "Error"
	if code == 0 {
		c.status.Reason = "Completed"
	}
	close(c.over)
	f.emit(cri.ContainerEventType_CONTAINER_STOPPED_EVENT, c.status.Id, c.sandbox)
}

// StopContainer implements container.Runtime.
func (f *Fake) StopContainer(ctx context.Context, id string, timeout time.Duration) error {
	f.mu.Lock()
	c := f.containers[id]
	if c == nil || c.status.State != cri.ContainerState_CONTAINER_RUNNING {
		f.mu.Unlock()
		return nil
	}
	f.note("stop %s", c.config.Metadata.Name)
	if timeout > 0 {
		f.ask(c)
	}
	f.mu.Unlock()
	select {
	case <-c.over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(timeout):
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended(c, 137)
	return nil
}

// ask sends the stop signal. The caller holds mu.
func (f *Fake) ask(c *fakeContainer) {
	switch {
	case f.deaf[c.config.Metadata.Name]:
	case c.play == nil:
		f.ended(c, 143)
	case c.config.StopSignal == cri.Signal_SIGNAL_SIGUSR1:
		c.play.Signal(unix.SIGUSR1)
	default:
		c.play.Signal(unix.SIGTERM)
	}
}

// RemoveContainer implements container.Runtime.
func (f *Fake) RemoveContainer(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.containers[id]
	if c == nil {
		return nil
	}
	f.ended(c, 137)
	delete(f.containers, id)
	f.emit(cri.ContainerEventType_CONTAINER_DELETED_EVENT, id, c.sandbox)
	return nil
}

// ContainerStatus implements container.Runtime.
func (f *Fake) ContainerStatus(_ context.Context, id string) (*cri.ContainerStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.containers[id]
	if c == nil {
		return nil, absent("container", id)
	}
	s := c.status
	return &cri.ContainerStatus{
		Id: s.Id, Metadata: s.Metadata, State: s.State, CreatedAt: s.CreatedAt, StartedAt: s.StartedAt, FinishedAt: s.FinishedAt,
		ExitCode: s.ExitCode, Reason: s.Reason, Message: s.Message, Labels: s.Labels, Annotations: s.Annotations,
		Image: s.Image, ImageId: s.ImageId, ImageRef: s.ImageRef, LogPath: s.LogPath, Resources: s.Resources,
		User: s.User, Mounts: c.config.Mounts,
	}, nil
}

// fakeUser is what the configuration says: there is no image that could say more.
func fakeUser(c *cri.ContainerConfig) *cri.ContainerUser {
	s := c.GetLinux().GetSecurityContext()
	u := &cri.LinuxContainerUser{Uid: s.GetRunAsUser().GetValue(), Gid: s.GetRunAsGroup().GetValue()}
	u.SupplementalGroups = append(append(u.SupplementalGroups, s.GetSupplementalGroups()...), u.Gid)
	return &cri.ContainerUser{Linux: u}
}

// ListContainers implements container.Runtime.
func (f *Fake) ListContainers(_ context.Context, filter *cri.ContainerFilter) ([]*cri.Container, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*cri.Container
	for id, c := range f.containers {
		if filter.GetId() != "" && filter.Id != id || filter.GetPodSandboxId() != "" && filter.PodSandboxId != c.sandbox ||
			filter.GetState() != nil && filter.State.State != c.status.State || !hasLabels(c.config.Labels, filter.GetLabelSelector()) {
			continue
		}
		all = append(all, &cri.Container{
			Id: id, PodSandboxId: c.sandbox, Metadata: c.config.Metadata, Labels: c.config.Labels, Annotations: c.config.Annotations,
			Image: c.config.Image, ImageRef: c.status.ImageRef, ImageId: c.status.ImageId, State: c.status.State, CreatedAt: c.status.CreatedAt,
		})
	}
	return all, nil
}

// UpdateContainerResources implements container.Runtime.
func (f *Fake) UpdateContainerResources(_ context.Context, id string, r *cri.ContainerResources) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.containers[id]
	if c == nil {
		return absent("container", id)
	}
	c.status.Resources = r
	return nil
}

// Exec implements container.Runtime.
func (f *Fake) Exec(ctx context.Context, id string, o container.ExecOptions) (int, error) {
	f.mu.Lock()
	c, err := f.runs(id)
	if err != nil {
		f.mu.Unlock()
		return 0, err
	}
	name := c.config.Metadata.Name
	f.note("exec %s %v", name, o.Command)
	play, execute := f.Play, f.Execute
	f.mu.Unlock()
	switch {
	case execute != nil:
		return execute(name, o.Command)
	case play == nil:
		return 0, nil
	}
	p, err := play(Process{Command: o.Command, Env: append(environ(c.config), o.Env...), Dir: c.config.WorkingDir, Streams: o.Streams})
	if err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { p.Signal(unix.SIGKILL) })
	code := p.Wait()
	if !stop() && ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	return code, nil
}

// Attach implements container.Runtime.
func (f *Fake) Attach(ctx context.Context, id string, s container.Streams) error {
	f.mu.Lock()
	c, err := f.runs(id)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	c.out.attach(s.Stdout)
	defer c.out.detach(s.Stdout)
	c.errs.attach(s.Stderr)
	defer c.errs.detach(s.Stderr)
	if r, ok := c.play.(resizer); ok && s.Resize != nil {
		go r.follow(ctx, s.Resize)
	}
	if s.Stdin != nil && c.feed != nil {
		go func() {
			_, _ = io.Copy(c.feed.PipeWriter, s.Stdin)
			if c.config.StdinOnce {
				c.feed.PipeWriter.Close()
			}
		}()
	}
	select {
	case <-c.over:
	case <-ctx.Done():
	}
	return nil
}

// resizer is played on a terminal.
type resizer interface {
	follow(ctx context.Context, sizes <-chan container.TerminalSize)
}

// Player begins to do what a process' command says. A command that cannot be executed is a container.ExecError.
type Player func(Process) (Play, error)

// Process is to be played.
type Process struct {
	Command, Env []string
	Dir          string
	container.Streams
}

// Play is a process that is being played.
type Play interface {
	// Wait is for the exit code, once all output is written; a signal's is 128 and its number.
	Wait() int
	Signal(syscall.Signal)
}
