// Package mounts finds and ends the mounts below a directory, and mounts parts of volumes that others write to.
package mounts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Below lists the mount points below a directory, the latest mount first.
func Below(dir string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	inside := strings.TrimSuffix(filepath.Clean(dir), "/") + "/"
	var found []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := unescape.Replace(fields[4]); strings.HasPrefix(point, inside) {
			found = append(found, point)
		}
	}
	slices.Reverse(found)
	return found, nil
}

// unescape reads a path as mountinfo writes it: blanks are octal (proc_pid_mountinfo(5)).
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// UnmountBelow ends all mounts below a directory. Whoever uses one goes on; no path leads to it any more.
func UnmountBelow(dir string) error {
	points, err := Below(dir)
	if err != nil {
		return err
	}
	var failed error
	for _, point := range points {
		if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			failed = errors.Join(failed, fmt.Errorf("unmount %s: %w", point, err))
		}
	}
	return failed
}
