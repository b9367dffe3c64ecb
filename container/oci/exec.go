package oci

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dhow/container/oci/bundle"
	"dhow/container/oci/inside"
	"dhow/container/shim/spawn"
)

// Exec says how a further command is run.
type Exec struct {
	ConsoleSocket string
	Console       *os.File
	PidFile       string
	Preserve      int
	// IgnorePaused lets the command wait until the container is resumed.
	IgnorePaused bool
	// Cgroups are paths below the container's groups, by controller; "" is for all that are not named.
	Cgroups map[string]string
	Std     [3]*os.File
}

// Process is what a command of the container has where nothing else is said: the container's own, but for its command
// and terminal.
func (c *Container) Process() specs.Process {
	p := *c.Spec.Process
	p.Args, p.Terminal, p.ConsoleSize = nil, false, nil
	return p
}

// Exec starts a command in a running container. It is this process' child.
func (r *Runtime) Exec(c *Container, process *specs.Process, o Exec) (pid int, err error) {
	switch status := c.Status(); {
	case status == specs.StateStopped:
		return 0, errors.New("cannot exec in a stopped container")
	case status == Paused && !o.IgnorePaused:
		return 0, errors.New("cannot exec in a paused container (use --ignore-paused to override)")
	}
	if err := checkTerminal(process.Terminal, &Create{ConsoleSocket: o.ConsoleSocket, Console: o.Console}); err != nil {
		return 0, err
	}
	spec, warnings, err := bundle.Process(process, c.Spec.Linux)
	if err != nil {
		return 0, err
	}
	for _, warning := range warnings {
		c.log.Warn(warning)
	}
	if err := affinity(spec, process); err != nil {
		return 0, err
	}
	cpus, err := startOn(process)
	if err != nil {
		return 0, err
	}
	started, err := r.enter(c, spec, cpus, &o)
	if err != nil {
		return 0, err
	}
	defer started.socket.Close()
	if err := started.goOn(); err != nil {
		started.end()
		return 0, err
	}
	if _, err := started.hear(); !errors.Is(err, io.EOF) { // it ends at the command's execution
		started.end()
		return 0, err
	}
	if err := writePid(o.PidFile, started.pid); err != nil {
		started.end()
		return 0, err
	}
	return started.pid, nil
}

// affinity is the processors that the command runs on.
func affinity(spec *inside.Process, process *specs.Process) error {
	a := process.ExecCPUAffinity
	if a == nil {
		return nil
	}
	var err error
	if spec.Affinity, err = bundle.List(a.Final); err != nil {
		return fmt.Errorf("process.execCPUAffinity.final: %w", err)
	}
	return nil
}

// startOn is the processors that the command is started on, before it is in the container's groups.
func startOn(process *specs.Process) (*unix.CPUSet, error) {
	if process.ExecCPUAffinity == nil || process.ExecCPUAffinity.Initial == "" {
		return nil, nil
	}
	list, err := bundle.List(process.ExecCPUAffinity.Initial)
	if err != nil {
		return nil, fmt.Errorf("process.execCPUAffinity.initial: %w", err)
	}
	set := &unix.CPUSet{}
	for _, n := range list {
		set.Set(n)
	}
	return set, nil
}

func (r *Runtime) enter(c *Container, spec *inside.Process, cpus *unix.CPUSet, o *Exec) (*child, error) {
	f := newFiles(o.Std, o.Preserve)
	defer f.close()
	var err error
	spec.Keep = o.Preserve
	if spec.ConsoleFD, err = console(f, o.ConsoleSocket, o.Console); err != nil {
		return nil, err
	}
	init, err := c.pidfd()
	if err != nil {
		return nil, err
	}
	defer init.Close()
	kinds, users, err := c.foreign()
	if err != nil {
		return nil, err
	}
	if !c.ownMounts() {
		root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", c.record.Pid), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return nil, fmt.Errorf("the container's root: %w", err)
		}
		spec.RootFD = f.add(root)
	}
	command := &spawn.Command{Root: users}
	if others := kinds &^ unix.CLONE_NEWPID; others != 0 {
		command.Join = []spawn.Join{{File: init, Kinds: others}}
	}
	var pidNS *os.File
	if kinds&unix.CLONE_NEWPID != 0 {
		pidNS = init
	}
	dirs, err := c.subgroups(o.Cgroups)
	if err != nil {
		return nil, err
	}
	return r.start(&launch{part: inside.Join, spec: spec, files: f, command: command, groups: dirs, pidNS: pidNS, cpus: cpus})
}

// pidfd holds on to init, whose number could become another's.
func (c *Container) pidfd() (*os.File, error) {
	fd, err := unix.PidfdOpen(c.record.Pid, 0)
	if err != nil {
		return nil, ErrNotRunning
	}
	f := os.NewFile(uintptr(fd), "init")
	if !c.alive() {
		f.Close()
		return nil, ErrNotRunning
	}
	return f, nil
}

// ownMounts says whether the container's mount namespace is its own, and its root that namespace's.
func (c *Container) ownMounts() bool { return c.owns(specs.MountNamespace) }

// foreign are the namespaces of the container that this process is not in, and whether the user's is one of them.
func (c *Container) foreign() (kinds int, users bool, err error) {
	for name, kind := range map[string]int{
		"mnt": unix.CLONE_NEWNS, "net": unix.CLONE_NEWNET, "ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "pid": unix.CLONE_NEWPID,
		"cgroup": unix.CLONE_NEWCGROUP, "user": unix.CLONE_NEWUSER, "time": unix.CLONE_NEWTIME,
	} {
		ours, err := os.Readlink("/proc/self/ns/" + name)
		if errors.Is(err, os.ErrNotExist) {
			continue // the kernel has none
		}
		if err != nil {
			return 0, false, err
		}
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", c.record.Pid, name))
		if err != nil {
			return 0, false, ErrNotRunning
		}
		if ours != its {
			kinds |= kind
			users = users || kind == unix.CLONE_NEWUSER
		}
	}
	return kinds, users, nil
}

// subgroups are the groups that a command is in.
func (c *Container) subgroups(wanted map[string]string) ([]string, error) {
	if len(wanted) == 0 {
		return groupDirs(c.CgroupPaths), nil
	}
	paths := map[string]string{}
	for controller, dir := range c.CgroupPaths {
		sub, named := wanted[controller]
		if !named {
			sub = wanted[""]
		}
		paths[controller] = filepath.Join(dir, filepath.Clean("/"+sub))
		if _, err := os.Stat(paths[controller]); err != nil {
			return nil, fmt.Errorf("--cgroup %s: %w", sub, err)
		}
	}
	for controller := range wanted {
		if _, known := c.CgroupPaths[controller]; !known && controller != "" {
			return nil, fmt.Errorf("--cgroup %s: the container has no such controller", controller)
		}
	}
	return groupDirs(paths), nil
}

// Cgroups reads --cgroup: "path", or "controller[,controller…]:path", any number of them.
func Cgroups(flags []string) (map[string]string, error) {
	all := map[string]string{}
	for _, flag := range flags {
		controllers, path, ok := strings.Cut(flag, ":")
		if !ok {
			controllers, path = "", flag
		}
		for name := range strings.SplitSeq(controllers, ",") {
			if _, twice := all[name]; twice {
				return nil, fmt.Errorf("--cgroup %s: given twice", flag)
			}
			all[name] = path
		}
	}
	return all, nil
}
