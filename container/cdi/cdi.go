// Package cdi reads the Container Device Interface's files (cncf-tags/container-device-interface, SPEC.md): what a
// container must be given so that it can use a device that a vendor has described. It changes no container itself.
package cdi

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// Dirs are where files are looked for; those of a later one win.
var Dirs = []string{"/etc/cdi", "/var/run/cdi"}

// Spec is a file: the devices of one kind, "vendor.com/class".
type Spec struct {
	Version string   `json:"cdiVersion"`
	Kind    string   `json:"kind"`
	Devices []Device `json:"devices"`
	// Edits go with any of the devices.
	Edits Edits `json:"containerEdits"`
}

// Device is one by its name.
type Device struct {
	Name  string `json:"name"`
	Edits Edits  `json:"containerEdits"`
}

// Edits are what a container is given.
type Edits struct {
	Env            []string `json:"env"`
	Nodes          []Node   `json:"deviceNodes"`
	Mounts         []Mount  `json:"mounts"`
	Hooks          []Hook   `json:"hooks"`
	AdditionalGIDs []uint32 `json:"additionalGids"`
}

// Node is a device node; HostPath is Path where it is empty, Permissions "rwm".
type Node struct {
	Path        string `json:"path"`
	HostPath    string `json:"hostPath"`
	Permissions string `json:"permissions"`
}

// Mount is a bind mount with options of mount(8).
type Mount struct {
	HostPath      string   `json:"hostPath"`
	ContainerPath string   `json:"containerPath"`
	Options       []string `json:"options"`
}

// Hook is an OCI hook; Name is when it runs.
type Hook struct {
	Name    string   `json:"hookName"`
	Path    string   `json:"path"`
	Args    []string `json:"args"`
	Env     []string `json:"env"`
	Timeout *int     `json:"timeout"`
}

// Resolve finds devices by their full names, "vendor.com/class=name", in the files of dirs.
func Resolve(dirs, names []string) (*Edits, error) {
	if len(names) == 0 {
		return &Edits{}, nil
	}
	specs, err := load(dirs)
	if err != nil {
		return nil, err
	}
	all := &Edits{}
	var used []*Spec
	for _, name := range names {
		spec, device, err := find(specs, name)
		if err != nil {
			return nil, fmt.Errorf("%w (looked in %s)", err, strings.Join(dirs, ", "))
		}
		if !slices.Contains(used, spec) {
			used = append(used, spec)
			all.add(spec.Edits)
		}
		all.add(device.Edits)
	}
	return all, nil
}

func (e *Edits) add(more Edits) {
	e.Env = append(e.Env, more.Env...)
	e.Nodes = append(e.Nodes, more.Nodes...)
	e.Mounts = append(e.Mounts, more.Mounts...)
	e.Hooks = append(e.Hooks, more.Hooks...)
	e.AdditionalGIDs = append(e.AdditionalGIDs, more.AdditionalGIDs...)
}

// find looks from the last file to the first.
func find(specs []*Spec, name string) (*Spec, Device, error) {
	kind, device, ok := strings.Cut(name, "=")
	if !ok || !strings.Contains(kind, "/") || device == "" {
		return nil, Device{}, fmt.Errorf("CDI device %q: want vendor.com/class=name", name)
	}
	for _, spec := range slices.Backward(specs) {
		if spec.Kind != kind {
			continue
		}
		for _, d := range spec.Devices {
			if d.Name == device {
				return spec, d, nil
			}
		}
	}
	return nil, Device{}, fmt.Errorf("CDI device %q is not described", name)
}

func load(dirs []string) ([]*Spec, error) {
	var all []*Spec
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("CDI: %w", err)
		}
		for _, entry := range entries {
			switch filepath.Ext(entry.Name()) {
			case ".json", ".yaml", ".yml":
			default:
				continue
			}
			spec, err := read(filepath.Join(dir, entry.Name()))
			if err != nil {
				return nil, err
			}
			all = append(all, spec)
		}
	}
	return all, nil
}

func read(path string) (*Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("CDI: %w", err)
	}
	spec, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("CDI: %s: %w", path, err)
	}
	return spec, nil
}

// Parse reads a file's content, JSON or YAML.
func Parse(data []byte) (*Spec, error) {
	spec := &Spec{}
	if err := yaml.Unmarshal(data, spec); err != nil {
		return nil, err
	}
	if spec.Version == "" || !strings.Contains(spec.Kind, "/") {
		return nil, errors.New("want cdiVersion, and a kind of the form vendor.com/class")
	}
	return spec, nil
}
