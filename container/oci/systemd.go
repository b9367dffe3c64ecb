package oci

import (
	"fmt"
	"strings"

	"github.com/opencontainers/cgroups"
)

// systemdName reads "slice:prefix:name".
func systemdName(c *cgroups.Cgroup, id, path string) error {
	if path == "" {
		c.Parent, c.ScopePrefix, c.Name = "system.slice", "dhow", id
		return nil
	}
	parts := strings.Split(path, ":")
	if len(parts) != 3 {
		return fmt.Errorf("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got %q instead", path)
	}
	c.Parent, c.ScopePrefix, c.Name = parts[0], parts[1], parts[2]
	return nil
}
