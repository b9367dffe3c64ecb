package cgroups

import (
	"testing"

	devices "github.com/opencontainers/cgroups/devices/config"
)

func TestRulesAreReadAsDockerWritesThem(t *testing.T) {
	const anyNumber = devices.Wildcard
	for text, want := range map[string]*Rule{
		"c 42:* rmw":  {Type: devices.CharDevice, Major: 42, Minor: anyNumber, Permissions: "rmw", Allow: true},
		"b *:7 r":     {Type: devices.BlockDevice, Major: anyNumber, Minor: 7, Permissions: "r", Allow: true},
		"a *:* rwm":   {Type: devices.WildcardDevice, Major: anyNumber, Minor: anyNumber, Permissions: "rwm", Allow: true},
		"":            nil,
		"c 42:*":      nil,
		"c 42 r":      nil,
		"d 42:* r":    nil,
		"ab 42:* r":   nil,
		"c 42:x r":    nil,
		"c -1:1 r":    nil,
		"c 42:1 x":    nil,
		"c 42:1 r w":  nil,
		"c 1:2:3 rwm": nil,
	} {
		got, err := ParseRule(text)
		if (err == nil) != (want != nil) || want != nil && *got != *want {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
}

func TestDevicesAreKnownByTheirPaths(t *testing.T) {
	d, err := DeviceAt("/dev/null")
	check(t, err)
	if d != (Device{Major: 1, Minor: 3}) {
		t.Errorf("/dev/null is %+v", d)
	}
	if r := d.Allow(""); r.Permissions != "rwm" || r.Type != devices.CharDevice || !r.Allow {
		t.Errorf("the rule is %+v", r)
	}
	for _, path := range []string{"/dev", "/no/such"} {
		if _, err := DeviceAt(path); err == nil {
			t.Errorf("%s is a device", path)
		}
	}
	if _, err := BlockDeviceAt("/dev/null"); err == nil {
		t.Error("/dev/null is a block device")
	}
}
