package cgroups

import (
	"fmt"
	"strconv"
	"strings"

	devices "github.com/opencontainers/cgroups/devices/config"
	"golang.org/x/sys/unix"
)

// Rule allows or forbids devices (runtime-spec, config-linux.md, "Allowed Device list"); a later one wins.
type Rule = devices.Rule

// Device is a device of the machine by its numbers.
type Device struct {
	Block        bool
	Major, Minor int64
}

// DeviceAt is the device that a path leads to.
func DeviceAt(path string) (Device, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return Device{}, fmt.Errorf("device %s: %w", path, err)
	}
	d := Device{Block: st.Mode&unix.S_IFMT == unix.S_IFBLK, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev))}
	if !d.Block && st.Mode&unix.S_IFMT != unix.S_IFCHR {
		return Device{}, fmt.Errorf("device %s: not a device", path)
	}
	return d, nil
}

// BlockDeviceAt is DeviceAt for what only block devices have.
func BlockDeviceAt(path string) (Device, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return Device{}, fmt.Errorf("device %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return Device{}, fmt.Errorf("device %s: not a block device", path)
	}
	return Device{true, int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev))}, nil
}

// Allow lets a group use the device: permissions are some of r, w and m (to make nodes); none are all.
func (d Device) Allow(permissions string) *Rule {
	if permissions == "" {
		permissions = "rwm"
	}
	kind := devices.CharDevice
	if d.Block {
		kind = devices.BlockDevice
	}
	return &Rule{Type: kind, Major: d.Major, Minor: d.Minor, Permissions: devices.Permissions(permissions), Allow: true}
}

// ParseRule reads "c 42:* rmw", which allows.
func ParseRule(text string) (*Rule, error) {
	bad := fmt.Errorf("device rule %q: want a type (a, b or c), MAJOR:MINOR with * for any, and some of rwm", text)
	fields := strings.Fields(text)
	if len(fields) != 3 || !strings.Contains("a b c", fields[0]) || strings.Trim(fields[2], "rwm") != "" {
		return nil, bad
	}
	major, minor, ok := strings.Cut(fields[1], ":")
	rule := &Rule{Type: devices.Type(fields[0][0]), Permissions: devices.Permissions(fields[2]), Allow: true}
	var err1, err2 error
	rule.Major, err1 = deviceNumber(major)
	rule.Minor, err2 = deviceNumber(minor)
	if !ok || err1 != nil || err2 != nil {
		return nil, bad
	}
	return rule, nil
}

func deviceNumber(text string) (int64, error) {
	if text == "*" {
		return devices.Wildcard, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return int64(n), err
}

// AllDevices are the rules of who may use every device.
func AllDevices() []*Rule {
	return []*Rule{{Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "rwm", Allow: true}}
}

// NoDevices are the rules that forbid everything.
func NoDevices() []*Rule {
	return []*Rule{{Type: devices.WildcardDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "rwm", Allow: false}}
}

// StandardDevices let a group make nodes, and use the devices that every container has (runtime-spec, config-linux.md,
// "Default Devices").
func StandardDevices() []*Rule {
	char := func(major, minor int64, permissions devices.Permissions) *Rule {
		return &Rule{Type: devices.CharDevice, Major: major, Minor: minor, Permissions: permissions, Allow: true}
	}
	return []*Rule{
		char(devices.Wildcard, devices.Wildcard, "m"),
		{Type: devices.BlockDevice, Major: devices.Wildcard, Minor: devices.Wildcard, Permissions: "m", Allow: true},
		char(1, 3, "rwm"), char(1, 5, "rwm"), char(1, 7, "rwm"), char(1, 8, "rwm"), char(1, 9, "rwm"), // null zero full random urandom
		char(5, 0, "rwm"), char(5, 2, "rwm"), // tty ptmx
		char(136, devices.Wildcard, "rwm"), // terminals
	}
}
