package container

import (
	"fmt"
	"io/fs"
	"path/filepath"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/container/cdi"
	"dhow/container/shim"
)

// deviceNodes are the devices that the configuration asks for, and all of the host's for a privileged container.
func deviceNodes(list []*cri.Device, privileged bool) ([]shim.Device, error) {
	var nodes []shim.Device
	if privileged {
		var err error
		if nodes, err = hostDevices(); err != nil {
			return nil, fmt.Errorf("list the host's devices: %w", err)
		}
	}
	for _, d := range list {
		nodes = append(nodes, shim.Device{Source: d.HostPath, Target: d.ContainerPath})
	}
	return nodes, nil
}

// hostDevices are all below /dev but terminals, which a container has of its own.
func hostDevices() ([]shim.Device, error) {
	var found []shim.Device
	err := filepath.WalkDir("/dev", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil // it has gone
		case path == "/dev/pts" || path == "/dev/shm" || path == "/dev/mqueue":
			return fs.SkipDir
		case path == "/dev/console" || path == "/dev/ptmx" || path == "/dev/tty":
		case entry.Type()&fs.ModeDevice != 0:
			found = append(found, shim.Device{Source: path, Target: path})
		}
		return nil
	})
	return found, err
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
	if config, err = edits.Apply(config); err != nil {
		return nil, extra, err
	}
	for _, gid := range edits.AdditionalGIDs {
		extra.Groups = append(extra.Groups[:len(extra.Groups):len(extra.Groups)], fmt.Sprint(gid))
	}
	extra.Hooks, err = edits.With(extra.Hooks)
	return config, extra, err
}
