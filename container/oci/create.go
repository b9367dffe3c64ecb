package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/opencontainers/cgroups"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dhow/container/oci/bundle"
	"dhow/container/oci/inside"
	"dhow/container/oci/netdevice"
	"dhow/container/processes"
	"dhow/container/shim/spawn"
)

// Create says how a container is made.
type Create struct {
	// Bundle is the directory of config.json; empty: the current one.
	Bundle string
	// ConsoleSocket is the unix socket that the terminal's master is sent to; Console is one that is connected already.
	ConsoleSocket string
	Console       *os.File
	// PidFile is where the first process' number is written.
	PidFile      string
	NoPivot      bool
	NoNewKeyring bool
	// Preserve is how many descriptors from 3 on the command gets.
	Preserve int
	// Env are further variables of the command.
	Env []string
	// Std are the command's standard streams, where it has no terminal.
	Std [3]*os.File
}

// Create makes a container, whose first process then waits for Start. It is this process' child.
func (r *Runtime) Create(id string, o Create) (_ *Container, err error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Bundle)
	if err != nil {
		return nil, err
	}
	spec, text, err := bundle.Load(dir)
	if err != nil {
		return nil, err
	}
	plan, err := bundle.Translate(id, dir, spec)
	if err != nil {
		return nil, err
	}
	if err := checkTerminal(spec.Process.Terminal, &o); err != nil {
		return nil, err
	}
	for _, warning := range plan.Warnings {
		r.config.Log.Warn(warning)
	}
	c, err := r.claim(id, dir, text, plan)
	if err != nil {
		return nil, err
	}
	c.Spec = spec
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(c.dir))
		}
	}()
	if err := r.make(c, plan, &o); err != nil {
		return nil, err
	}
	if err := writePid(o.PidFile, c.record.Pid); err != nil {
		return nil, errors.Join(err, c.killAndWait(), c.destroy())
	}
	return c, nil
}

func checkTerminal(terminal bool, o *Create) error {
	has := o.ConsoleSocket != "" || o.Console != nil
	switch {
	case terminal && !has:
		return errors.New("cannot allocate tty if runc will detach without setting console socket")
	case !terminal && o.ConsoleSocket != "":
		return errors.New("cannot use console socket if runc will not detach or allocate tty")
	default:
		return nil
	}
}

// claim makes the container's folder.
func (r *Runtime) claim(id, dir string, config json.RawMessage, plan *bundle.Plan) (*Container, error) {
	if err := os.MkdirAll(r.config.Root, 0o700); err != nil {
		return nil, err
	}
	c := &Container{dir: r.dir(id), log: r.config.Log, record: record{
		Version: specs.Version, ID: id, Created: time.Now().UTC(), Bundle: dir, Rootfs: plan.Container.Rootfs, Systemd: r.config.SystemdCgroup,
		Config: config, Hooks: plan.Container.Hooks,
	}}
	err := os.Mkdir(c.dir, 0o700)
	if errors.Is(err, os.ErrExist) {
		return nil, ErrExist
	}
	return c, err
}

// make makes the groups, then the process in them.
func (r *Runtime) make(c *Container, plan *bundle.Plan, o *Create) (err error) {
	m, dirs, err := c.makeGroups()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.Destroy())
		}
	}()
	init, err := r.fork(c, plan, o, dirs)
	if err != nil {
		return fmt.Errorf("unable to start container process: %w", err)
	}
	defer init.socket.Close()
	defer func() {
		if err != nil {
			init.end()
		}
	}()
	if dirs == nil { // systemd makes groups for processes only
		if err := c.applySystemd(m, init.pid); err != nil {
			return err
		}
		c.CgroupPaths = m.GetPaths()
	}
	return c.settle(init)
}

// settle goes through init's steps.
func (c *Container) settle(init *child) error {
	c.record.Pid = init.pid
	c.record.Start, _ = processes.Life(c.record.Pid)
	if err := c.save(); err != nil {
		return err
	}
	if err := netdevice.Move(c.Spec.Linux.NetDevices, c.record.Pid); err != nil {
		return err
	}
	if err := init.goOn(); err != nil {
		return err
	}
	if err := init.expect(inside.StepMounted); err != nil {
		return fmt.Errorf("unable to start container process: error during container init: %w", err)
	}
	if err := c.settleHooks(init); err != nil {
		return errors.Join(err, c.hooks("poststop", specs.StateStopped))
	}
	c.Ready = true
	return c.save()
}

func (c *Container) settleHooks(init *child) error {
	for _, name := range []string{"prestart", "createRuntime"} {
		if err := c.hooks(name, specs.StateCreating); err != nil {
			return err
		}
	}
	if err := init.goOn(); err != nil {
		return err
	}
	if err := init.expect(inside.StepReady); err != nil {
		return fmt.Errorf("unable to start container process: %w", err)
	}
	return nil
}

// fork starts init.
func (r *Runtime) fork(c *Container, plan *bundle.Plan, o *Create, dirs []string) (*child, error) {
	f := newFiles(o.Std, o.Preserve)
	defer f.close()
	spec := &plan.Container
	spec.NoPivot, spec.Process.KeepKeyring, spec.Process.Keep = o.NoPivot, o.NoNewKeyring, o.Preserve
	spec.Process.Env = append(slices.Clone(spec.Process.Env), o.Env...)
	spec.Cgroup2 = cgroups.IsCgroup2UnifiedMode()
	fd, err := unix.OpenTree(unix.AT_FDCWD, spec.Rootfs, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return nil, fmt.Errorf("open root %s: %w", spec.Rootfs, err)
	}
	spec.RootFD = f.add(os.NewFile(uintptr(fd), "root"))
	if plan.MountNS != "" {
		file, err := os.Open(plan.MountNS)
		if err != nil {
			return nil, fmt.Errorf("namespace: %w", err)
		}
		spec.MountNS = f.add(file)
	}
	if err := c.openFIFOs(spec, f); err != nil {
		return nil, err
	}
	if spec.ConsoleFD, err = console(f, o.ConsoleSocket, o.Console); err != nil {
		return nil, err
	}
	command := &spawn.Command{Clocks: plan.Clocks}
	pidNS, users, err := r.openNamespaces(plan, f, command)
	if err != nil {
		return nil, err
	}
	if err := r.openBinds(plan, f, users); err != nil {
		return nil, err
	}
	return r.start(&launch{part: inside.Init, spec: spec, files: f, command: command, groups: dirs, pidNS: pidNS})
}

// openNamespaces opens what the container enters, and says what it gets new. The user namespace comes last: until then
// the process has the rights to enter the others.
func (r *Runtime) openNamespaces(plan *bundle.Plan, f *files, command *spawn.Command) (pidNS, users *os.File, err error) {
	const later = unix.CLONE_NEWCGROUP | unix.CLONE_NEWUSER
	for _, n := range plan.Join {
		file, err := os.Open(n.Path)
		if err != nil {
			return nil, nil, fmt.Errorf("namespace: %w", err)
		}
		f.own = append(f.own, file)
		switch n.Kind {
		case unix.CLONE_NEWPID:
			pidNS = file
		case unix.CLONE_NEWUSER:
			users = file
		default:
			command.Join = append(command.Join, spawn.Join{File: file, Kinds: n.Kind})
		}
	}
	if plan.New&unix.CLONE_NEWUSER != 0 {
		if users, err = r.userNamespace(plan.UIDs, plan.GIDs); err != nil {
			return nil, nil, err
		}
		f.own = append(f.own, users)
	}
	if users == nil {
		command.Flags = plan.New &^ later
		return pidNS, nil, nil
	}
	command.Join = append(command.Join, spawn.Join{File: users, Kinds: unix.CLONE_NEWUSER})
	command.Then, command.Root = plan.New&^later, true
	return pidNS, users, nil
}

// openFIFOs makes the two that start and init meet at.
func (c *Container) openFIFOs(spec *inside.Container, f *files) error {
	for _, fifo := range []struct {
		name string
		mode int
		to   *int
	}{{startFIFO, unix.O_RDWR, &spec.StartFD}, {endFIFO, unix.O_RDWR, &spec.ReportFD}} {
		path := filepath.Join(c.dir, fifo.name)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return fmt.Errorf("make %s: %w", path, err)
		}
		fd, err := unix.Open(path, fifo.mode|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		*fifo.to = f.add(os.NewFile(uintptr(fd), path))
	}
	return nil
}

// console connects to where the terminal is to be sent.
func console(f *files, path string, connected *os.File) (int, error) {
	if connected != nil {
		f.all = append(f.all, connected)
		return len(f.all) - 1, nil
	}
	if path == "" {
		return 0, nil
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		return 0, fmt.Errorf("console socket: %w", err)
	}
	defer conn.Close()
	file, err := conn.(*net.UnixConn).File()
	if err != nil {
		return 0, fmt.Errorf("console socket %s: %w", path, err)
	}
	return f.add(file), nil
}

// writePid writes a pid file, whole or not at all: others wait for it.
func writePid(path string, pid int) error {
	if path == "" {
		return nil
	}
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(temporary, []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
