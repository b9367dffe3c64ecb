package cgroups

import (
	"path/filepath"
	"slices"
	"strings"

	library "github.com/opencontainers/cgroups"
)

// Own are the directories of the groups that this process is in, one in each hierarchy that groups are made in; top are those
// that these hierarchies begin with.
func Own() (own, top []string, err error) {
	tops, err := hierarchies()
	if err != nil {
		return nil, nil, err
	}
	mine, err := library.ParseCgroupFile("/proc/self/cgroup")
	if err != nil {
		return nil, nil, err
	}
	for controller, dir := range tops {
		top = append(top, dir)
		if !strings.HasPrefix(mine[controller], "/..") { // outside of what is mounted
			dir = filepath.Join(dir, mine[controller])
		}
		own = append(own, dir)
	}
	slices.Sort(own)
	slices.Sort(top)
	return slices.Compact(own), slices.Compact(top), nil
}
