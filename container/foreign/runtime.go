// Package foreign runs the containers of some pods by other OCI runtimes (runc, crun, gVisor's runsc). The engine keeps
// the pod: its shim, network, group, logs and terminals. A container's command, to the engine, is the other runtime's
// program in a container that sees the machine as it is: it runs the container in the foreground and ends as that does.
package foreign

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
)

// Config of a Runtime.
type Config struct {
	// Engine runs the pods, and the containers of those whose handler is ours.
	Engine *container.Engine
	Images container.Images
	// Programs are the other runtimes' by the handlers' names.
	Programs map[string]string
	// StateDir holds a bundle for each container and what the programs note (/run/dhow/foreign).
	StateDir string
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// Runtime is an Engine that knows more handlers.
type Runtime struct {
	*container.Engine
	config Config
	log    *slog.Logger
}

var _ container.Runtime = (*Runtime)(nil)

// New checks that the programs are there.
func New(c Config) (*Runtime, error) {
	if c.Engine == nil || c.Images == nil || c.StateDir == "" {
		return nil, errors.New("foreign runtimes: Engine, Images and StateDir must be set")
	}
	for name, program := range c.Programs {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("runtime handler %s: %w", name, err)
		}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Runtime{Engine: c.Engine, config: c, log: c.Log}, nil
}

// Run clears away what a crash left, and is the engine's Run.
func (r *Runtime) Run(ctx context.Context) error {
	if err := r.clearLost(ctx); err != nil {
		r.log.Error("bundles of containers that are gone could not be removed", "err", err)
	}
	return r.Engine.Run(ctx)
}

// RunPodSandbox implements container.Runtime.
func (r *Runtime) RunPodSandbox(ctx context.Context, config *cri.PodSandboxConfig, handler string) (string, error) {
	if handler == "" || handler == "dhow" {
		return r.Engine.RunPodSandbox(ctx, config, handler)
	}
	if r.config.Programs[handler] == "" {
		names := append([]string{"dhow"}, slices.Sorted(maps.Keys(r.config.Programs))...)
		return "", fmt.Errorf("no runtime handler %q is configured (there is: %s)", handler, strings.Join(names, ", "))
	}
	if u := config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetUsernsOptions(); u != nil && u.Mode == cri.NamespaceMode_POD {
		return "", fmt.Errorf("runtime handler %s: pods with users of their own (hostUsers: false) run with handler dhow only", handler)
	}
	own := proto.Clone(config).(*cri.PodSandboxConfig)
	own.Annotations = with(own.Annotations, handlerMark, handler)
	return r.Engine.RunPodSandbox(ctx, own, "")
}

// Status implements container.Runtime: the other runtimes are handlers, too. Their users' own pods are refused; that mounts
// are read-only throughout is runtime-spec's.
func (r *Runtime) Status(ctx context.Context) (*cri.StatusResponse, error) {
	answer, err := r.Engine.Status(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(r.config.Programs)) {
		answer.RuntimeHandlers = append(answer.RuntimeHandlers, &cri.RuntimeHandler{
			Name: name, Features: &cri.RuntimeHandlerFeatures{RecursiveReadOnlyMounts: true},
		})
	}
	return answer, nil
}

// RemovePodSandbox implements container.Runtime.
func (r *Runtime) RemovePodSandbox(ctx context.Context, id string) error {
	list, err := r.Engine.ListContainers(ctx, &cri.ContainerFilter{PodSandboxId: id})
	if err != nil {
		return err
	}
	if err := r.Engine.StopPodSandbox(ctx, id); err != nil {
		return err
	}
	for _, c := range list {
		r.forget(c.Annotations[bundleMark], c.Annotations[programMark])
	}
	if err := r.Engine.RemovePodSandbox(ctx, id); err != nil {
		return err
	}
	var failed error
	for _, c := range list {
		failed = errors.Join(failed, r.discard(c.Annotations[bundleMark], c.Annotations[programMark]))
	}
	return failed
}

// CreateContainer implements container.Runtime.
func (r *Runtime) CreateContainer(ctx context.Context, sandboxID string, config *cri.ContainerConfig, sandbox *cri.PodSandboxConfig) (string, error) {
	s, err := r.PodSandboxStatus(ctx, sandboxID)
	if err != nil {
		return "", err
	}
	program := r.config.Programs[s.RuntimeHandler]
	if s.RuntimeHandler == "" {
		return r.Engine.CreateContainer(ctx, sandboxID, config, sandbox)
	}
	name := config.GetMetadata().GetName()
	if program == "" {
		return "", fmt.Errorf("create container %s: runtime handler %s is not configured any more", name, s.RuntimeHandler)
	}
	b, err := r.makeBundle(ctx, config)
	if err != nil {
		return "", errors.Join(fmt.Errorf("create container %s: %w", name, err), r.discard(b.key, program))
	}
	own := proto.Clone(config).(*cri.ContainerConfig)
	own.Annotations = b.marks(own.Annotations, program, config.Mounts)
	own.Command, own.Args = r.command(program, "run", "--bundle", b.dir, b.key), nil
	own.Envs, own.Mounts, own.WorkingDir = nil, nil, "/"
	own.Linux = &cri.LinuxContainerConfig{Resources: config.GetLinux().GetResources(), SecurityContext: &cri.LinuxContainerSecurityContext{
		Privileged: true, NamespaceOptions: config.GetLinux().GetSecurityContext().GetNamespaceOptions(),
	}}
	extra := container.Extra{RootFS: &container.RootFS{Path: "/"}, Cgroup: container.NamespaceHost, StopSignal: b.stopSignal}
	if b.ownPID {
		extra.PID = container.NamespaceHost // the program gives the container one
	}
	id, err := r.Engine.CreateContainerWith(ctx, sandboxID, own, sandbox, extra)
	if err != nil {
		return "", errors.Join(err, r.discard(b.key, program))
	}
	return id, nil
}

// command calls an OCI runtime.
func (r *Runtime) command(program string, args ...string) []string {
	return append([]string{program, "--root", filepath.Join(r.config.StateDir, "state")}, args...)
}

// RemoveContainer implements container.Runtime.
func (r *Runtime) RemoveContainer(ctx context.Context, id string) error {
	bundle, program, err := r.bundleOf(ctx, id)
	if errors.Is(err, container.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if bundle != "" {
		if err := r.Engine.StopContainer(ctx, id, 0); err != nil {
			return err
		}
		r.forget(bundle, program)
	}
	if err := r.Engine.RemoveContainer(ctx, id); err != nil || bundle == "" {
		return err
	}
	return r.discard(bundle, program)
}

// bundleOf is empty for containers of the engine's own.
func (r *Runtime) bundleOf(ctx context.Context, id string) (key, program string, err error) {
	list, err := r.Engine.ListContainers(ctx, &cri.ContainerFilter{Id: id})
	if err != nil {
		return "", "", err
	}
	if len(list) == 0 {
		return "", "", fmt.Errorf("container %s: %w", id, container.ErrNotFound)
	}
	return list[0].Annotations[bundleMark], list[0].Annotations[programMark], nil
}

// Exec implements container.Runtime: the other runtime's program enters the container.
func (r *Runtime) Exec(ctx context.Context, id string, opts container.ExecOptions) (int, error) {
	key, program, err := r.bundleOf(ctx, id)
	if err != nil || key == "" || len(opts.Command) == 0 {
		return r.Engine.Exec(ctx, id, opts)
	}
	process, err := r.processFile(key, opts)
	if err != nil {
		return 0, fmt.Errorf("exec: %w", err)
	}
	defer os.Remove(process)
	opts.Command, opts.Env = r.command(program, "exec", "--process", process, key), nil
	return r.Engine.Exec(ctx, id, opts)
}

func newKey() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// clearLost removes bundles whose containers are gone.
func (r *Runtime) clearLost(ctx context.Context) error {
	list, err := r.Engine.ListContainers(ctx, nil)
	if err != nil {
		return err
	}
	known := map[string]bool{"state": true}
	for _, c := range list {
		known[c.Annotations[bundleMark]] = true
	}
	entries, err := os.ReadDir(r.config.StateDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var failed error
	for _, e := range entries {
		if !known[e.Name()] {
			failed = errors.Join(failed, r.discard(e.Name(), ""))
		}
	}
	return failed
}
