package cdi

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Apply is a configuration with what the edits add, but for groups and hooks, which CRI has no words for. The one that it
// is given is not changed.
func (e *Edits) Apply(config *cri.ContainerConfig) (*cri.ContainerConfig, error) {
	config = proto.Clone(config).(*cri.ContainerConfig)
	for _, entry := range e.Env {
		key, value, _ := strings.Cut(entry, "=")
		config.Envs = append(config.Envs, &cri.KeyValue{Key: key, Value: []byte(value)})
	}
	for _, n := range e.Nodes {
		config.Devices = append(config.Devices, &cri.Device{HostPath: cmp.Or(n.HostPath, n.Path), ContainerPath: n.Path, Permissions: n.Permissions})
	}
	for _, m := range e.Mounts {
		mount, err := m.mount()
		if err != nil {
			return nil, err
		}
		config.Mounts = append(config.Mounts, mount)
	}
	return config, nil
}

func (m Mount) mount() (*cri.Mount, error) {
	mount := &cri.Mount{HostPath: m.HostPath, ContainerPath: m.ContainerPath}
	for _, option := range m.Options {
		switch option {
		case "ro":
			mount.Readonly = true
		case "rslave", "slave":
			mount.Propagation = cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER
		case "nosuid", "nodev", "noexec":
			mount.MountOptions = append(mount.MountOptions, option)
		case "rw", "bind", "rbind", "private", "rprivate":
		default:
			return nil, fmt.Errorf("CDI mount of %s: unknown option %q", m.HostPath, option)
		}
	}
	return mount, nil
}

// With are hooks and those of the edits, which come last. Hooks themselves are not changed.
func (e *Edits) With(own *specs.Hooks) (*specs.Hooks, error) {
	if len(e.Hooks) == 0 {
		return own, nil
	}
	all := specs.Hooks{}
	if own != nil {
		all = *own
	}
	for _, h := range e.Hooks {
		list := map[string]*[]specs.Hook{
			"createRuntime": &all.CreateRuntime, "prestart": &all.CreateRuntime, "createContainer": &all.CreateContainer,
			"startContainer": &all.StartContainer, "poststart": &all.Poststart, "poststop": &all.Poststop,
		}[h.Name]
		if list == nil {
			return nil, errors.New("CDI hook " + h.Path + ": unknown time " + h.Name)
		}
		*list = append((*list)[:len(*list):len(*list)], specs.Hook{Path: h.Path, Args: h.Args, Env: h.Env, Timeout: h.Timeout})
	}
	return &all, nil
}
