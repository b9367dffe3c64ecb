package container

import (
	"fmt"
	"io/fs"
	"path/filepath"

	devices "github.com/opencontainers/cgroups/devices/config"
	"golang.org/x/sys/unix"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

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

// deviceAccess lets the container's group use them.
func deviceAccess(list []*cri.Device) ([]*devices.Rule, error) {
	var rules []*devices.Rule
	for _, d := range list {
		var st unix.Stat_t
		if err := unix.Stat(d.HostPath, &st); err != nil {
			return nil, fmt.Errorf("device %s: %w", d.HostPath, err)
		}
		kind := devices.CharDevice
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFCHR:
		case unix.S_IFBLK:
			kind = devices.BlockDevice
		default:
			return nil, fmt.Errorf("device %s: not a device", d.HostPath)
		}
		permissions := devices.Permissions(d.Permissions)
		if permissions == "" {
			permissions = "rwm"
		}
		rules = append(rules, &devices.Rule{
			Type: kind, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev)), Permissions: permissions, Allow: true,
		})
	}
	return rules, nil
}
