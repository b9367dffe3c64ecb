package container

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/changes"
	"dhow/container/confine"
	"dhow/container/processes"
	"dhow/container/shim"
)

// Pause freezes every process of a running container.
func (e *Engine) Pause(_ context.Context, id string) error {
	c, err := e.running(id)
	if err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	if c.Cgroup.Frozen() {
		return fmt.Errorf("container %s is already paused", id)
	}
	if err := c.Cgroup.Freeze(); err != nil {
		return fmt.Errorf("pause container %s: %w", id, err)
	}
	return nil
}

// Unpause lets them go on.
func (e *Engine) Unpause(_ context.Context, id string) error {
	c, err := e.running(id)
	if err != nil {
		return err
	}
	c.op.Lock()
	defer c.op.Unlock()
	if !c.Cgroup.Frozen() {
		return fmt.Errorf("container %s is not paused", id)
	}
	if err := c.Cgroup.Thaw(); err != nil {
		return fmt.Errorf("unpause container %s: %w", id, err)
	}
	return nil
}

// Details are what is known of a container beyond CRI's status.
type Details struct {
	SandboxID string
	// Pid of the first process on this machine; 0 while none runs.
	Pid int
	// Restarts by its policy, so far; Restarting while it waits for the next. Last is its end before.
	Restarts   int
	Restarting bool
	Last       *shim.Exit
	// Exit is its end; nil before.
	Exit   *shim.Exit
	Paused bool
	Cgroup string
	// Dir has the container's records.
	Dir string
	// Root is the directory of RootFS, or of an image's container: the layers (topmost first) and the writable one.
	Root         string
	Lower        []string
	Upper        string
	Extra        Extra
	Config       *cri.ContainerConfig
	UIDs, GIDs   []*cri.IDMapping // of a user namespace; nil: the machine's
	Args         []string         // of the command, after the image had its say
	Env          []string
	Cwd          string
	User         string
	Capabilities []string
	Mounts       []shim.Mount // as they are made, with those of the pod's files
}

// Details of a container.
func (e *Engine) Details(ctx context.Context, id string) (*Details, error) {
	c, err := e.container(id)
	if err != nil {
		return nil, err
	}
	var spec shim.Container
	if err := readJSON(c.dir+"/"+specFile, &spec); err != nil {
		return nil, err
	}
	_ = c.readRecords() // an engine that does not Run looks for itself
	running := c.state() == cri.ContainerState_CONTAINER_RUNNING
	c.mu.Lock()
	d := &Details{
		SandboxID: c.sandbox.ID, Restarts: c.start.Restarts, Restarting: running && c.start.Pid == 0, Last: c.start.Last, Exit: c.exit,
		Cgroup: string(c.Cgroup), Dir: c.dir, Root: spec.Root.Plain, Lower: spec.Root.Lower, Upper: spec.Root.Upper, Extra: c.Extra, Config: proto.Clone(c.config).(*cri.ContainerConfig),
		Args: spec.Process.Args, Env: spec.Process.Env, Cwd: spec.Process.Cwd, User: spec.Process.User, Capabilities: confine.CapabilityNames(spec.Process.Capabilities),
		Mounts: spec.Mounts,
	}
	c.mu.Unlock()
	if u := c.sandbox.Users; u != nil {
		d.UIDs, d.GIDs = u.UIDs, u.GIDs
	}
	if running && !d.Restarting {
		d.Paused = c.Cgroup.Frozen()
		if pid, err := e.Pid(ctx, id); err == nil { // it may just have ended
			d.Pid = pid
		}
	}
	return d, nil
}

// runPoststop runs the hooks that come after a container's end. Their failures change nothing (runtime-spec, runtime.md).
func (c *container) runPoststop() {
	if c.Extra.Hooks == nil {
		return
	}
	state, err := json.Marshal(shim.State{
		Version: shim.StateVersion, ID: c.ID, Status: "stopped", Bundle: c.dir, Annotations: c.config.GetAnnotations(),
	})
	if err != nil {
		return
	}
	for _, h := range c.Extra.Hooks.Poststop {
		ctx, cancel := context.Background(), func() {}
		if h.Timeout != nil {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(*h.Timeout)*time.Second)
		}
		cmd := exec.CommandContext(ctx, h.Path)
		if len(h.Args) > 0 {
			cmd.Args = slices.Clone(h.Args)
		}
		cmd.Env = append([]string{}, h.Env...)
		cmd.Stdin = bytes.NewReader(state)
		_ = cmd.Run()
		cancel()
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// Changes lists what the container has done to its root, by path. Mount points that were made for it do not count.
func (e *Engine) Changes(_ context.Context, id string) ([]changes.Change, error) {
	c, err := e.container(id)
	if err != nil {
		return nil, err
	}
	var spec shim.Container
	if err := readJSON(filepath.Join(c.dir, specFile), &spec); err != nil {
		return nil, err
	}
	if spec.Root.Upper == "" {
		return nil, fmt.Errorf("container %s: its root is a plain directory, which remembers no changes", id)
	}
	var targets []string
	for _, m := range spec.Mounts {
		targets = append(targets, m.Target)
	}
	return changes.Of(spec.Root.Lower, spec.Root.Upper, targets)
}

// Process is one of a container's.
type Process = processes.Process

// Top lists the processes of a running container, by number.
func (e *Engine) Top(_ context.Context, id string) ([]Process, error) {
	c, err := e.running(id)
	if err != nil {
		return nil, err
	}
	pids, err := c.Cgroup.Processes()
	if err != nil {
		return nil, err
	}
	// The shim and this process have threads there while they fork.
	return processes.Read(slices.DeleteFunc(pids, func(pid int) bool { return pid == c.sandbox.ShimPID || pid == os.Getpid() }))
}
