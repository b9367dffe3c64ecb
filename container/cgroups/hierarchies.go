package cgroups

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	library "github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"
)

// V2 says whether the machine has version 2 alone. Beside hierarchies of version 1, version 2 is not used.
func V2() bool { return library.IsCgroup2UnifiedMode() }

// hierarchies are where the machine's control groups begin, by controller; under version 2 there is one, without a name.
// They are looked for once: it takes longer than to make a group.
var hierarchies = sync.OnceValues(func() (map[string]string, error) {
	const probe = "/dhow-where" // never made
	m, err := manager.New(&library.Cgroup{Path: probe, Resources: &Limits{}})
	if err != nil {
		return nil, err
	}
	tops := map[string]string{}
	for controller, dir := range m.GetPaths() {
		tops[controller] = strings.TrimSuffix(dir, probe)
	}
	return tops, nil
})

// Has says whether the machine's groups can limit by a controller: "memory", "hugetlb" and so on.
func Has(controller string) bool {
	tops, err := hierarchies()
	if err != nil {
		return false
	}
	if !V2() {
		return tops[controller] != ""
	}
	data, err := os.ReadFile(filepath.Join(tops[""], "cgroup.controllers"))
	return err == nil && slices.Contains(strings.Fields(string(data)), controller)
}

// File is the path of one of a group's files: v1 in a controller's hierarchy of version 1, or v2 in that of version 2. It is
// empty where the machine has no such hierarchy.
func (g Group) File(controller, v1, v2 string) string {
	file := v1
	if V2() {
		controller, file = "", v2
	}
	tops, err := hierarchies()
	if err != nil || tops[controller] == "" {
		return ""
	}
	return filepath.Join(tops[controller], string(g), file)
}

// Dirs are the group's directories, in every hierarchy that the machine has mounted, also in those that limit nothing.
func (g Group) Dirs() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []string
	for line := range strings.Lines(string(data)) {
		before, after, ok := strings.Cut(line, " - ")
		if !ok || !strings.HasPrefix(after, "cgroup") { // "cgroup " or "cgroup2 " (proc_pid_mountinfo(5))
			continue
		}
		dir := filepath.Join(strings.Fields(before)[4], string(g))
		if _, err := os.Stat(dir); err == nil {
			all = append(all, dir)
		}
	}
	return all, nil
}
