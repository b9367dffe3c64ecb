// Package cgroups makes, limits, counts, freezes, kills and removes control groups, by the hierarchies of version 1 or the
// one of version 2, whichever the machine has. It knows nothing of containers: whose group is where is its callers' business.
package cgroups

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	library "github.com/opencontainers/cgroups"
	_ "github.com/opencontainers/cgroups/devices" // lets managers set device rules
	"github.com/opencontainers/cgroups/manager"
	"golang.org/x/sys/unix"
)

// Group is a control group by its path below the tops of the hierarchies, "/dhow/pod1/c1": the same in every hierarchy of
// version 1. It need not exist.
type Group string

// In is a group below this one, also if name tries to lead out of it.
func (g Group) In(name string) Group { return Group(path.Join(string(g), path.Join("/", name))) }

// Make makes the group and those above it, sets its limits, and returns its directories: one for each hierarchy that has
// it. Nothing stays of it if limits are refused, but those above.
func (g Group) Make(l *Limits) ([]string, error) {
	m, err := g.manager(l)
	if err != nil {
		return nil, err
	}
	err = m.Apply(-1)
	for range 10 { // somebody may be removing its parents, which have just become empty
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		err = m.Apply(-1)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make cgroup %s: %w", g, err), m.Destroy()) // it may be in some hierarchies
	}
	if err := g.set(m, l); err != nil {
		return nil, errors.Join(fmt.Errorf("set limits of cgroup %s: %w", g, err), m.Destroy())
	}
	// A hierarchy that has nothing to limit may have been passed over.
	return slices.DeleteFunc(dirs(m), func(dir string) bool {
		_, err := os.Stat(dir)
		return err != nil
	}), nil
}

// Set changes limits of a group; what is zero stays as it is.
func (g Group) Set(l *Limits) error {
	m, err := g.plain()
	if err != nil {
		return err
	}
	return g.set(m, l)
}

func (g Group) set(m library.Manager, l *Limits) error {
	if err := m.Set(l); err != nil {
		return err
	}
	return g.weighDevices(l.BlkioWeightDevice)
}

// Remove removes a group whose processes have ended or are about to, with the groups in it; one that is gone already is no
// error.
func (g Group) Remove() error {
	m, err := g.plain()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(dying)
	for {
		if err = m.Destroy(); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove cgroup %s: %w", g, err)
		}
	}
}

// dying is how long processes that were killed may stay in their group: on a busy machine, or with little processor time
// of their own, they are slow to end. Destroy waits a moment between its own tries.
const dying = 30 * time.Second

// RemoveEmpty removes the group and those above it that have become empty, up to but not with top.
func (g Group) RemoveEmpty(top Group) {
	for ; g != top && len(g) > len(top); g = Group(path.Dir(string(g))) {
		m, err := g.plain()
		if err != nil {
			return
		}
		for _, dir := range dirs(m) {
			_ = unix.Rmdir(dir) // not empty: others are in it
		}
	}
}

// manager is the library's, with limits for it to set.
func (g Group) manager(l *Limits) (library.Manager, error) {
	tops, err := hierarchies()
	if err != nil {
		return nil, fmt.Errorf("cgroup %s: %w", g, err)
	}
	paths := make(map[string]string, len(tops))
	for controller, top := range tops {
		paths[controller] = filepath.Join(top, string(g))
	}
	m, err := manager.NewWithPaths(&library.Cgroup{Path: string(g), Resources: l}, paths)
	if err != nil {
		return nil, fmt.Errorf("cgroup %s: %w", g, err)
	}
	return m, nil
}

// plain is the manager for what leaves devices alone.
func (g Group) plain() (library.Manager, error) { return g.manager(&Limits{SkipDevices: true}) }

func dirs(m library.Manager) []string {
	all := slices.Collect(maps.Values(m.GetPaths()))
	slices.Sort(all)
	return slices.Compact(all)
}
