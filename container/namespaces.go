package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dhow/container/confine"
	"dhow/container/shim"
)

// modes are those of a container's namespaces, in the order in which they are joined.
func (x *Extra) modes() []namespace {
	return []namespace{
		{"network", "net", unix.CLONE_NEWNET, x.Network}, {"ipc", "ipc", unix.CLONE_NEWIPC, x.IPC}, {"uts", "uts", unix.CLONE_NEWUTS, x.UTS},
		{"cgroup", "cgroup", unix.CLONE_NEWCGROUP, x.Cgroup}, {"pid", "pid", unix.CLONE_NEWPID, x.PID},
	}
}

type namespace struct {
	field string // as Extra calls it
	file  string // in /proc/PID/ns
	kind  uint64
	mode  NamespaceMode
}

// joins says whether the container enters one that exists.
func (n namespace) joins() bool { return n.mode != "" && n.mode != NamespacePrivate }

// check reads a mode without opening it.
func (n namespace) check() error {
	what, arg, _ := strings.Cut(string(n.mode), ":")
	switch {
	case !n.joins(), n.mode == NamespaceHost:
		return nil
	case (what == "container" || what == "sandbox") && arg != "":
		return nil
	case what == "ns" && strings.HasPrefix(arg, "/"):
		return nil
	}
	return fmt.Errorf("%s namespace %q: want private, host, container:ID, sandbox:ID or ns:/PATH", n.field, n.mode)
}

// namespaces puts a container's namespaces into its spec.
func (c *container) namespaces(spec *shim.Container) error {
	spec.OwnPID = c.ownPID()
	for _, n := range c.Extra.modes() {
		if err := n.check(); err != nil {
			return err
		}
		switch {
		case n.joins():
			spec.Join = append(spec.Join, n.kind)
			spec.OwnPID = spec.OwnPID && n.kind != unix.CLONE_NEWPID
		case n.mode == NamespacePrivate && n.kind == unix.CLONE_NEWPID:
			spec.OwnPID = true
		case n.mode == NamespacePrivate && n.kind != unix.CLONE_NEWCGROUP:
			spec.Own |= n.kind
		}
	}
	spec.SharedCgroup = c.Extra.modes()[3].joins()
	if spec.UserNS && len(spec.Join) > 0 {
		return errors.New("a container of a pod with a user namespace cannot join namespaces of others")
	}
	return c.names(spec)
}

// names are those of a UTS namespace of the container's own; with a private network, too, the pod's names are copied.
func (c *container) names(spec *shim.Container) error {
	x := &c.Extra
	own := spec.Own&unix.CLONE_NEWUTS != 0
	if !own && (x.Hostname != "" || x.Domainname != "") {
		return errors.New("hostname and domain name can be set in a private uts namespace only (uts: private)")
	}
	if own {
		spec.Hostname, spec.Domain = x.Hostname, x.Domainname
		if spec.Hostname == "" {
			spec.Hostname = c.sandbox.hostname()
		}
	}
	for name := range x.Sysctls {
		if err := c.maySet(name, spec); err != nil {
			return err
		}
	}
	spec.Sysctls = x.Sysctls
	return nil
}

// maySet says whether a sysctl is of a namespace that is not the machine's.
func (c *container) maySet(name string, spec *shim.Container) error {
	pod := c.sandbox.owned()
	return confine.CheckSysctl(name, func(kind uint64) bool {
		mode := map[uint64]NamespaceMode{unix.CLONE_NEWNET: c.Extra.Network, unix.CLONE_NEWIPC: c.Extra.IPC, unix.CLONE_NEWUTS: c.Extra.UTS}[kind]
		return spec.Own&kind != 0 || mode == "" && pod&kind != 0
	})
}

// openNamespaces opens those that a container joins, in the order of its spec, and those that its exit command runs in.
func (e *Engine) openNamespaces(c *container) ([]*os.File, error) {
	var all []*os.File
	for _, n := range c.Extra.modes() {
		if !n.joins() {
			continue
		}
		f, err := e.openNamespace(n)
		if err != nil {
			closeFiles(all)
			return nil, fmt.Errorf("%s namespace %s: %w", n.field, n.mode, err)
		}
		all = append(all, f)
	}
	if c.Extra.ExitCommand == nil {
		return all, nil
	}
	own, err := openOwn()
	if err != nil {
		closeFiles(all)
		return nil, fmt.Errorf("namespaces of the exit command: %w", err)
	}
	return append(all, own...), nil
}

func (e *Engine) openNamespace(n namespace) (*os.File, error) {
	what, arg, _ := strings.Cut(string(n.mode), ":")
	switch what {
	case "host":
		return os.Open("/proc/self/ns/" + n.file)
	case "ns":
		return os.Open(arg)
	case "sandbox":
		s, err := e.sandbox(arg)
		if err != nil {
			return nil, err
		}
		if !s.shimLives() {
			return nil, errors.New("the sandbox does not run")
		}
		return os.Open(fmt.Sprintf("/proc/%d/ns/%s", s.ShimPID, n.file))
	default:
		return e.openContainersNamespace(arg, n.file)
	}
}

func (e *Engine) openContainersNamespace(id, file string) (*os.File, error) {
	c, err := e.running(id)
	if err != nil {
		return nil, err
	}
	pidfd, err := c.first()
	if err != nil {
		return nil, err
	}
	defer pidfd.Close()
	pid, err := pidOf(pidfd)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, file))
	if err != nil {
		return nil, err
	}
	if err := unix.PidfdSendSignal(int(pidfd.Fd()), 0, nil, 0); err != nil { // its number may have been another's
		f.Close()
		return nil, fmt.Errorf("container %s has just ended", id)
	}
	return f, nil
}

// first is a pidfd of the container's first process.
func (c *container) first() (*os.File, error) {
	_, files, err := c.sandbox.ask(shim.Request{Op: shim.OpFirst, Container: c.ID})
	if err != nil {
		return nil, err
	}
	if len(files) != 1 {
		closeFiles(files)
		return nil, errors.New("shim: no process came")
	}
	return files[0], nil
}

// pidOf is the number that a process has here, whatever it has where its pidfd came from.
func pidOf(pidfd *os.File) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", pidfd.Fd()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, "Pid:"); ok {
			pid, err := strconv.Atoi(strings.TrimSpace(text))
			if err == nil && pid <= 0 {
				err = errors.New("the process has ended")
			}
			return pid, err
		}
	}
	return 0, errors.New("the kernel does not tell the process of a pidfd")
}

// Pid is the number of the container's first process on this machine.
func (e *Engine) Pid(_ context.Context, id string) (int, error) {
	c, err := e.running(id)
	if err != nil {
		return 0, err
	}
	pidfd, err := c.first()
	if err != nil {
		return 0, err
	}
	defer pidfd.Close()
	return pidOf(pidfd)
}
