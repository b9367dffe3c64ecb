package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container"
)

// plan is what the container engine is told to make.
type plan struct {
	sandbox   *cri.PodSandboxConfig
	container *cri.ContainerConfig
	extra     container.Extra
}

// plan translates a record.
func (s *Service) plan(ctx context.Context, c *Container) (*plan, error) {
	p := &plan{extra: c.Spec.Extra}
	p.extra.ExitCommand = s.exitCommand(c)
	namespaces, err := s.namespaces(ctx, c, p)
	if err != nil {
		return nil, err
	}
	p.sandbox = &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: c.Name, Uid: c.ID}, Hostname: c.hostname(), LogDirectory: s.dir(c.ID),
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent:    "/" + c.ID,
			SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: namespaces},
		},
	}
	linux, err := c.linux(namespaces)
	if err != nil {
		return nil, err
	}
	p.container = &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: c.Name}, Image: &cri.ImageSpec{Image: c.ID + "@" + c.ImageID},
		Command: c.Run.Args(), WorkingDir: c.Run.WorkingDir, Envs: environment(c.Run.Env),
		Tty: c.Spec.TTY, Stdin: c.Spec.Stdin, StdinOnce: c.Spec.StdinOnce, Linux: linux,
		Annotations: c.Spec.Annotations, Labels: map[string]string{},
	}
	if c.Spec.LogDriver != "none" {
		p.container.LogPath = logFile
	}
	for _, d := range c.Spec.Devices {
		p.container.Devices = append(p.container.Devices, &cri.Device{HostPath: d.Host, ContainerPath: d.Container, Permissions: d.Permissions})
	}
	p.mounts(s, c)
	return p, nil
}

func (c *Container) hostname() string {
	if c.Spec.Hostname != "" {
		return c.Spec.Hostname
	}
	return c.ID[:12]
}

func environment(env []string) []*cri.KeyValue {
	var all []*cri.KeyValue
	for _, entry := range env {
		key, value, _ := strings.Cut(entry, "=")
		all = append(all, &cri.KeyValue{Key: key, Value: []byte(value)})
	}
	return all
}

// hostNetwork says whether a container has no network namespace of its own sandbox.
func (c *Container) hostNetwork() bool {
	return c.Spec.NetworkMode == "host" || strings.HasPrefix(c.Spec.NetworkMode, "container:")
}

// namespaces says which are private. What a sandbox cannot say is the container's extra.
func (s *Service) namespaces(ctx context.Context, c *Container, p *plan) (*cri.NamespaceOption, error) {
	ns := &cri.NamespaceOption{Pid: cri.NamespaceMode_CONTAINER}
	join := func(mode string, into *container.NamespaceMode) error {
		ref, ok := strings.CutPrefix(mode, "container:")
		if !ok {
			return nil
		}
		other, _, err := s.running(ctx, ref)
		if err != nil {
			return fmt.Errorf("join the namespaces of container %s: %w", ref, err)
		}
		*into = container.NamespaceMode("container:" + other.State.Runtime)
		return nil
	}
	for mode, into := range map[string]*container.NamespaceMode{
		c.Spec.NetworkMode: &p.extra.Network, c.Spec.PID: &p.extra.PID, c.Spec.IPC: &p.extra.IPC,
	} {
		if err := join(mode, into); err != nil {
			return nil, err
		}
	}
	if c.Spec.PID == "host" {
		ns.Pid = cri.NamespaceMode_NODE
	}
	if c.Spec.IPC == "host" {
		ns.Ipc = cri.NamespaceMode_NODE
	}
	if c.hostNetwork() {
		ns.Network = cri.NamespaceMode_NODE
		if c.Spec.UTS != "host" && (c.Spec.Hostname != "" || c.Spec.NetworkMode != "host") {
			p.extra.UTS, p.extra.Hostname = container.NamespacePrivate, c.hostname()
		}
	} else if c.Spec.UTS == "host" {
		p.extra.UTS = container.NamespaceHost
	} else if c.Spec.Domainname != "" {
		p.extra.UTS, p.extra.Hostname = container.NamespacePrivate, c.hostname()
	}
	p.extra.Domainname = c.Spec.Domainname
	if c.Spec.Cgroup == "host" {
		p.extra.Cgroup = container.NamespaceHost
	}
	switch {
	case c.Spec.UserNS == "auto" || c.Spec.UserNS == "private":
		ns.UsernsOptions = &cri.UserNamespace{Mode: cri.NamespaceMode_POD}
	case c.Spec.UserRange != nil:
		ids := []*cri.IDMapping{{HostId: c.Spec.UserRange.First, Length: c.Spec.UserRange.Count}}
		ns.UsernsOptions = &cri.UserNamespace{Mode: cri.NamespaceMode_POD, Uids: ids, Gids: ids}
	}
	return ns, nil
}

func (c *Container) linux(ns *cri.NamespaceOption) (*cri.LinuxContainerConfig, error) {
	security := &cri.LinuxContainerSecurityContext{
		Privileged: c.Spec.Privileged, NamespaceOptions: ns, ReadonlyRootfs: c.Spec.ReadOnly, RunAsUsername: c.Run.User,
		Capabilities:   &cri.Capability{AddCapabilities: c.Spec.CapAdd, DropCapabilities: c.Spec.CapDrop},
		Seccomp:        &cri.SecurityProfile{ProfileType: cri.SecurityProfile_RuntimeDefault},
		SelinuxOptions: c.Spec.SELinux,
	}
	switch c.Spec.Seccomp {
	case "":
	case "unconfined":
		security.Seccomp.ProfileType = cri.SecurityProfile_Unconfined
	default:
		security.Seccomp = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: c.Spec.Seccomp}
	}
	switch c.Spec.AppArmor {
	case "":
	case "unconfined":
		security.Apparmor = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Unconfined}
	default:
		security.Apparmor = &cri.SecurityProfile{ProfileType: cri.SecurityProfile_Localhost, LocalhostRef: c.Spec.AppArmor}
	}
	return &cri.LinuxContainerConfig{Resources: c.Spec.Resources, SecurityContext: security}, nil
}

var propagations = map[string]cri.MountPropagation{
	"": cri.MountPropagation_PROPAGATION_PRIVATE, "private": cri.MountPropagation_PROPAGATION_PRIVATE,
	"rprivate": cri.MountPropagation_PROPAGATION_PRIVATE,
	"slave":    cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER, "rslave": cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER,
	"shared": cri.MountPropagation_PROPAGATION_BIDIRECTIONAL, "rshared": cri.MountPropagation_PROPAGATION_BIDIRECTIONAL,
}

// mounts are the container's own three files, and the user's mounts.
func (p *plan) mounts(s *Service, c *Container) {
	own := map[string]bool{}
	for _, m := range c.Mounts {
		own[filepath.Clean(m.Target)] = true
	}
	for target, file := range s.Files(c) {
		if !own[target] {
			p.container.Mounts = append(p.container.Mounts, &cri.Mount{HostPath: file, ContainerPath: target})
		}
	}
	for _, m := range c.Mounts {
		p.container.Mounts = append(p.container.Mounts, &cri.Mount{
			HostPath: m.Path, ContainerPath: m.Target, Readonly: m.ReadOnly, RecursiveReadOnly: m.Recursive && m.ReadOnly,
			Propagation: propagations[m.Propagation],
		})
		if m.Type == MountVolume && !m.NoCopy && isEmptyDir(m.Path) {
			p.extra.CopyUp = append(p.extra.CopyUp, m.Target)
		}
	}
}
