// Package bundle reads OCI bundles (runtime-spec 1.3, bundle.md and config.md) and translates what their config.json
// asks for into what the runtime does. It changes nothing on the machine; what is unknown or impossible is an error
// that names the field.
package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dhow/container/oci/inside"
)

// Plan is a bundle, translated.
type Plan struct {
	Container inside.Container
	// Binds are the sources of bind mounts; Mounts of Container have their descriptors.
	Binds []Bind
	// New are the namespaces to make (CLONE_NEW…), User among them; Join those to enter.
	New  uintptr
	Join []Namespace
	// MountNS is the file of the mount namespace to be in; empty: a new one.
	MountNS string
	// Warnings are what is left out, and why.
	Warnings []string
	// UIDs and GIDs are the mappings of a new user namespace.
	UIDs, GIDs []syscall.SysProcIDMap
	// Clocks is the text for /proc/self/timens_offsets of a new time namespace; empty: none.
	Clocks string
}

// Namespace is one that is there.
type Namespace struct {
	Kind int // CLONE_NEW…
	Path string
}

// Load reads a bundle's config.json, and returns its text, too.
func Load(dir string) (*specs.Spec, json.RawMessage, error) {
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("JSON specification file %s not found", path)
	}
	if err != nil {
		return nil, nil, err
	}
	spec, text, err := decode(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return spec, text, nil
}

// decode takes the first value, as others do; what follows it is nobody's.
func decode(data []byte) (*specs.Spec, json.RawMessage, error) {
	spec := &specs.Spec{}
	decoder := json.NewDecoder(bytes.NewReader(data))
	err := decoder.Decode(spec)
	return spec, data[:decoder.InputOffset()], err
}

// Translate makes the plan for a container of a bundle, whose directory is absolute.
func Translate(id, dir string, spec *specs.Spec) (*Plan, error) {
	if err := check(spec); err != nil {
		return nil, err
	}
	p := &Plan{Container: inside.Container{
		ID: id, Version: specs.Version, Bundle: dir, Annotations: spec.Annotations, Hostname: spec.Hostname, Domainname: spec.Domainname,
		ReadOnly: spec.Root.Readonly, Masked: spec.Linux.MaskedPaths, Protected: spec.Linux.ReadonlyPaths, Sysctls: spec.Linux.Sysctl,
	}}
	p.Container.Rootfs = spec.Root.Path
	if !filepath.IsAbs(spec.Root.Path) {
		p.Container.Rootfs = filepath.Join(dir, spec.Root.Path)
	}
	if err := p.root(); err != nil {
		return nil, err
	}
	for _, step := range []func(*specs.Spec) error{p.namespaces, p.propagation, p.devices, p.hooks} {
		if err := step(spec); err != nil {
			return nil, err
		}
	}
	for i := range spec.Mounts {
		if err := p.mount(&spec.Mounts[i], dir, spec.Linux.MountLabel); err != nil {
			return nil, fmt.Errorf("mounts[%d] (%s): %w", i, spec.Mounts[i].Destination, err)
		}
	}
	if err := p.sysctls(spec); err != nil {
		return nil, err
	}
	process, warnings, err := Process(spec.Process, spec.Linux)
	if err != nil {
		return nil, err
	}
	p.Container.Process, p.Warnings = *process, warnings
	return p, nil
}

// check refuses what no later step could make sense of.
func check(spec *specs.Spec) error {
	version, _, _ := strings.Cut(spec.Version, ".")
	switch {
	case spec.Version == "":
		return errors.New("ociVersion is missing")
	case version != "1":
		return fmt.Errorf("ociVersion %q is not supported: this runtime follows %s", spec.Version, specs.Version)
	case spec.Root == nil || spec.Root.Path == "":
		return errors.New("root.path is missing")
	case spec.Linux == nil:
		return errors.New("linux is missing")
	case spec.Process == nil:
		return errors.New("process is missing")
	case spec.Windows != nil || spec.Solaris != nil || spec.VM != nil || spec.ZOS != nil || spec.FreeBSD != nil:
		return errors.New("the configuration is for another platform: of windows, solaris, vm, zos and freebsd nothing can be set on Linux")
	case spec.Linux.IntelRdt != nil:
		return errors.New("linux.intelRdt is not supported: use a runtime that manages /sys/fs/resctrl")
	case spec.Linux.MountLabel != "" && !hasSELinux():
		return errors.New("linux.mountLabel is specified in config, but selinux is disabled or not supported")
	default:
		return nil
	}
}

func (p *Plan) root() error {
	real, err := filepath.EvalSymlinks(p.Container.Rootfs)
	if err != nil {
		return fmt.Errorf("root.path: rootfs (%s) does not exist: %w", p.Container.Rootfs, err)
	}
	info, err := os.Stat(real)
	if err == nil && !info.IsDir() {
		err = errors.New("not a directory")
	}
	if err != nil {
		return fmt.Errorf("root.path: rootfs (%s): %w", p.Container.Rootfs, err)
	}
	p.Container.Rootfs, err = filepath.Abs(real)
	return err
}

var rootPropagation = map[string]uint64{
	"": 0, "shared": unix.MS_SHARED, "rshared": unix.MS_SHARED | unix.MS_REC, "slave": unix.MS_SLAVE, "rslave": unix.MS_SLAVE | unix.MS_REC,
	"private": unix.MS_PRIVATE, "rprivate": unix.MS_PRIVATE | unix.MS_REC, "unbindable": unix.MS_UNBINDABLE, "runbindable": unix.MS_UNBINDABLE | unix.MS_REC,
}

func (p *Plan) propagation(spec *specs.Spec) error {
	flags, known := rootPropagation[spec.Linux.RootfsPropagation]
	if !known {
		return fmt.Errorf("linux.rootfsPropagation %q: want shared, slave, private or unbindable, or one of them with an r in front", spec.Linux.RootfsPropagation)
	}
	p.Container.Propagation = flags
	return nil
}

func (p *Plan) hooks(spec *specs.Spec) error {
	if spec.Hooks == nil {
		return nil
	}
	p.Container.Hooks = map[string][]inside.Hook{}
	for name, list := range map[string][]specs.Hook{
		"prestart": spec.Hooks.Prestart, "createRuntime": spec.Hooks.CreateRuntime, "createContainer": spec.Hooks.CreateContainer,
		"startContainer": spec.Hooks.StartContainer, "poststart": spec.Hooks.Poststart, "poststop": spec.Hooks.Poststop,
	} {
		for i, h := range list {
			if !filepath.IsAbs(h.Path) {
				return fmt.Errorf("hooks.%s[%d].path %q is not absolute", name, i, h.Path)
			}
			if h.Timeout != nil && *h.Timeout <= 0 {
				return fmt.Errorf("hooks.%s[%d].timeout %d is not greater than zero", name, i, *h.Timeout)
			}
			p.Container.Hooks[name] = append(p.Container.Hooks[name], inside.Hook{Path: h.Path, Args: h.Args, Env: h.Env, Timeout: h.Timeout})
		}
	}
	return nil
}
