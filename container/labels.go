package container

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cdi"
	"dhow/container/shim"
)

// DefaultAppArmor is the profile of containers that ask for the runtime's default, or for nothing. The kernel takes
// compiled profiles only, so the engine loads none: it uses this one where the administrator has loaded it.
const DefaultAppArmor = "dhow-default"

// labels are what the kernel's security modules confine the process by.
func labels(s *cri.LinuxContainerSecurityContext, p *shim.Process) error {
	var err error
	if p.AppArmor, err = appArmor(s); err != nil || s.GetPrivileged() {
		return err
	}
	p.SELinux, err = seLinux(s.GetSelinuxOptions())
	return err
}

// appArmor is the profile that is asked for by name, or the default one, which privileged containers do not have.
func appArmor(s *cri.LinuxContainerSecurityContext) (string, error) {
	name, unconfined := "", false
	if p := s.GetApparmor(); p != nil {
		unconfined = p.ProfileType == cri.SecurityProfile_Unconfined
		if p.ProfileType == cri.SecurityProfile_Localhost {
			name = strings.TrimPrefix(p.LocalhostRef, "localhost/")
		}
	} else {
		unconfined = s.GetApparmorProfile() == "unconfined"
		name, _ = strings.CutPrefix(s.GetApparmorProfile(), "localhost/")
		if name == s.GetApparmorProfile() {
			name = ""
		}
	}
	switch {
	case name == "" && (unconfined || s.GetPrivileged() || !appArmorEnabled()):
		return "", nil
	case name == "":
		if loaded, _ := appArmorLoaded(DefaultAppArmor); loaded {
			name = DefaultAppArmor
		}
		return name, nil
	case !appArmorEnabled():
		return "", fmt.Errorf("AppArmor profile %q: this kernel has no AppArmor enabled; ask for unconfined", name)
	}
	if loaded, err := appArmorLoaded(name); err == nil && !loaded {
		return "", fmt.Errorf("AppArmor profile %q is not loaded (apparmor_parser loads profiles)", name)
	}
	return name, nil
}

func appArmorEnabled() bool {
	enabled, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	return err == nil && strings.HasPrefix(string(enabled), "Y")
}

func appArmorLoaded(name string) (bool, error) {
	profiles, err := os.ReadFile("/sys/kernel/security/apparmor/profiles")
	return strings.Contains("\n"+string(profiles), "\n"+name+" ("), err
}

// tellLabels says what containers lack that this kernel could give them.
func (e *Engine) tellLabels() {
	if !appArmorEnabled() {
		return
	}
	if loaded, err := appArmorLoaded(DefaultAppArmor); err == nil && !loaded {
		e.log.Info("no default AppArmor profile is loaded: containers run without, unless they name one", "profile", DefaultAppArmor)
	}
}

// seLinux is the context that is asked for, with what containers usually have where it is silent.
func seLinux(o *cri.SELinuxOption) (string, error) {
	if o.GetUser() == "" && o.GetRole() == "" && o.GetType() == "" && o.GetLevel() == "" {
		return "", nil
	}
	context := strings.Join([]string{cmp.Or(o.User, "system_u"), cmp.Or(o.Role, "system_r"), cmp.Or(o.Type, "container_t"), cmp.Or(o.Level, "s0")}, ":")
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil {
		return "", fmt.Errorf("SELinux context %s: this kernel has no SELinux enabled", context)
	}
	return context, nil
}

// withDevices is the configuration and what else is asked for, with what CDI's descriptions of its devices add.
func withDevices(config *cri.ContainerConfig, extra Extra) (*cri.ContainerConfig, Extra, error) {
	var names []string
	for _, d := range config.GetCDIDevices() {
		names = append(names, d.Name)
	}
	if len(names) == 0 {
		return config, extra, nil
	}
	edits, err := cdi.Resolve(cdi.Dirs, names)
	if err != nil {
		return nil, extra, err
	}
	config = proto.Clone(config).(*cri.ContainerConfig)
	for _, entry := range edits.Env {
		key, value, _ := strings.Cut(entry, "=")
		config.Envs = append(config.Envs, &cri.KeyValue{Key: key, Value: []byte(value)})
	}
	for _, n := range edits.Nodes {
		config.Devices = append(config.Devices, &cri.Device{HostPath: cmp.Or(n.HostPath, n.Path), ContainerPath: n.Path, Permissions: n.Permissions})
	}
	for _, m := range edits.Mounts {
		mount, err := cdiMount(m)
		if err != nil {
			return nil, extra, err
		}
		config.Mounts = append(config.Mounts, mount)
	}
	for _, gid := range edits.AdditionalGIDs {
		extra.Groups = append(extra.Groups[:len(extra.Groups):len(extra.Groups)], fmt.Sprint(gid))
	}
	extra.Hooks, err = withHooks(extra.Hooks, edits.Hooks)
	return config, extra, err
}

func cdiMount(m cdi.Mount) (*cri.Mount, error) {
	mount := &cri.Mount{HostPath: m.HostPath, ContainerPath: m.ContainerPath}
	for _, option := range m.Options {
		switch option {
		case "ro":
			mount.Readonly = true
		case "rslave", "slave":
			mount.Propagation = cri.MountPropagation_PROPAGATION_HOST_TO_CONTAINER
		case "rw", "bind", "rbind", "private", "rprivate", "nosuid", "nodev", "noexec":
		default:
			return nil, fmt.Errorf("CDI mount of %s: unknown option %q", m.HostPath, option)
		}
	}
	return mount, nil
}

func withHooks(own *specs.Hooks, more []cdi.Hook) (*specs.Hooks, error) {
	if len(more) == 0 {
		return own, nil
	}
	all := specs.Hooks{}
	if own != nil {
		all = *own
	}
	for _, h := range more {
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
