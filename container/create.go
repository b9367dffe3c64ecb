package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/shim"
	"dhow/internal/rootfs"
)

// CreateContainer implements Runtime.
func (e *Engine) CreateContainer(ctx context.Context, sandboxID string, config *cri.ContainerConfig, sandbox *cri.PodSandboxConfig) (string, error) {
	return e.CreateContainerWith(ctx, sandboxID, config, sandbox, Extra{})
}

// CreateContainerWith is CreateContainer with what CRI has no words for.
func (e *Engine) CreateContainerWith(ctx context.Context, sandboxID string, config *cri.ContainerConfig, _ *cri.PodSandboxConfig, extra Extra) (string, error) {
	if config == nil {
		return "", errors.New("create container: it has no configuration")
	}
	if err := extra.check(); err != nil {
		return "", fmt.Errorf("create container %s: %w", config.GetMetadata().GetName(), err)
	}
	s, err := e.sandbox(sandboxID)
	if err != nil {
		return "", err
	}
	if s.Stopped {
		return "", fmt.Errorf("create container %s: its sandbox has stopped", config.GetMetadata().GetName())
	}
	config = proto.Clone(config).(*cri.ContainerConfig) // updates change it
	c := &container{ID: newID(), Created: time.Now().UnixNano(), config: config, Extra: extra, sandbox: s, exited: make(chan struct{})}
	c.dir = filepath.Join(s.dir, containersDir, c.ID)
	c.Cgroup = s.Cgroup.In(c.ID)
	err = e.makeContainer(ctx, c)
	if err == nil {
		err = e.add(c)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("create container %s: %w", config.GetMetadata().GetName(), err), e.unmakeContainer(c))
		s.Cgroup.RemoveEmpty(e.parent()) // where the sandbox has gone meanwhile, it was made anew
		return "", err
	}
	e.emit(cri.ContainerEventType_CONTAINER_CREATED_EVENT, c.ID, s)
	return c.ID, nil
}

// add makes a container known, unless its sandbox was stopped while it was made.
func (e *Engine) add(c *container) error {
	s := c.sandbox
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Stopped {
		return errors.New("its sandbox has stopped")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s.containers[c.ID] = c
	e.containers[c.ID] = c
	return nil
}

func (e *Engine) makeContainer(ctx context.Context, c *container) error {
	if err := os.Mkdir(c.dir, 0o700); err != nil { // not what it is in: that may just be removed
		return err
	}
	asked, extra := c.config, c.Extra
	var err error
	if c.config, c.Extra, err = withDevices(asked, extra); err != nil {
		c.config, c.Extra = asked, extra
		return err
	}
	spec, err := e.prepare(ctx, c)
	if err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(c.dir, specFile), spec); err != nil {
		return err
	}
	c.config, c.Extra = asked, extra // the record is of what was asked for
	return c.save()
}

// prepare makes the container's control groups and, meanwhile, its root and its spec.
func (e *Engine) prepare(ctx context.Context, c *container) (spec *shim.Container, err error) {
	limits, err := c.limits()
	if err != nil {
		return nil, err
	}
	var groups []string
	made := make(chan error, 1)
	go func() {
		var err error
		groups, err = c.Cgroup.Make(limits)
		made <- err
	}()
	snapshot, err := e.snapshot(ctx, c)
	if err == nil {
		err = e.mountImages(ctx, c)
	}
	if err == nil {
		c.ImageID, c.Stop = snapshot.ImageID, snapshot.Config.StopSignal
		spec, err = c.spec(snapshot)
	}
	if err = errors.Join(err, <-made); err != nil {
		return nil, err
	}
	spec.Cgroups = groups
	return spec, nil
}

// snapshot is the container's root: its image's, or a directory.
func (e *Engine) snapshot(ctx context.Context, c *container) (*rootfs.Snapshot, error) {
	own := c.Extra.RootFS
	switch {
	case own == nil:
		return e.config.Images.Snapshot(ctx, c.ID, c.config.GetImage().GetImage())
	case !own.Overlay:
		return &rootfs.Snapshot{}, nil
	}
	over := &rootfs.Snapshot{Lower: []string{own.Path}, Upper: filepath.Join(c.dir, "over", "upper"), Work: filepath.Join(c.dir, "over", "work")}
	return over, errors.Join(os.MkdirAll(over.Upper, 0o755), os.MkdirAll(over.Work, 0o755))
}

// spec puts together what the configuration asks for and what the image says.
func (c *container) spec(snapshot *rootfs.Snapshot) (*shim.Container, error) {
	process, err := c.process(snapshot)
	if err != nil {
		return nil, err
	}
	mounts, err := c.mounts()
	if err != nil {
		return nil, err
	}
	security := c.config.GetLinux().GetSecurityContext()
	nodes, err := deviceNodes(c.config.Devices, security.GetPrivileged())
	if err != nil {
		return nil, err
	}
	spec := &shim.Container{
		ID: c.ID,
		Root: shim.Root{
			Lower: snapshot.Lower, Upper: snapshot.Upper, Work: snapshot.Work,
			ReadOnly: security.GetReadonlyRootfs(),
		},
		Mounts: mounts, Devices: nodes,
		Process: *process,
		Stdin:   c.config.Stdin, StdinOnce: c.config.StdinOnce,
		SysWritable: security.GetPrivileged(),
		Start:       filepath.Join(c.dir, startFile),
		Exit:        filepath.Join(c.dir, exitFile),
	}
	if !security.GetPrivileged() {
		spec.Masked, spec.ReadOnly = hidden(security)
	}
	if u := c.sandbox.Users; u != nil {
		spec.UserNS = true
		spec.HostUID, _ = hostID(u.UIDs, 0)
		spec.HostGID, _ = hostID(u.GIDs, 0)
	}
	if c.config.LogPath != "" {
		spec.Log = filepath.Join(c.sandbox.config.LogDirectory, c.config.LogPath)
	}
	if own := c.Extra.RootFS; own != nil && !own.Overlay {
		spec.Root.Plain = own.Path
	}
	return spec, c.extra(spec)
}

func (c *container) ownPID() bool {
	ns := c.config.GetLinux().GetSecurityContext().GetNamespaceOptions()
	if ns == nil {
		ns = c.sandbox.namespaces()
	}
	return ns.Pid == cri.NamespaceMode_CONTAINER
}

// mounts are the pod's files, unless the configuration has its own, and the configuration's.
func (c *container) mounts() ([]shim.Mount, error) {
	var all []shim.Mount
	own := map[string]bool{}
	for _, m := range c.config.Mounts {
		own[filepath.Clean(m.ContainerPath)] = true
	}
	for target, file := range map[string]string{"/etc/resolv.conf": "resolv.conf", "/etc/hostname": "hostname"} {
		if !own[target] {
			all = append(all, shim.Mount{Source: filepath.Join(c.sandbox.dir, file), Target: target})
		}
	}
	for i, m := range c.config.Mounts {
		mount, err := c.mount(i, m)
		if err != nil {
			return nil, fmt.Errorf("mount on %s: %w", m.ContainerPath, err)
		}
		all = append(all, mount)
	}
	return all, nil
}

// The paths that containers may not see, or not write, unless the configuration says otherwise.
var (
	defaultMasked = []string{
		"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
		"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
	}
	defaultReadOnly = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

func hidden(s *cri.LinuxContainerSecurityContext) (masked, readOnly []string) {
	if s == nil {
		return defaultMasked, defaultReadOnly
	}
	masked, readOnly = s.MaskedPaths, s.ReadonlyPaths
	if len(masked) == 0 && len(readOnly) == 0 {
		return defaultMasked, defaultReadOnly
	}
	return masked, readOnly
}
