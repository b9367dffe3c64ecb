package shim

import (
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"dhow/container/shim/spawn"
)

// ExitCommand is a program that the shim starts when a container has ended for good, and does not wait for: it may tell the
// shim to quit.
type ExitCommand struct {
	Path string   `json:"path"`
	Args []string `json:"args"`
	Env  []string `json:"env"`
	// Groups are control groups for it, each as its directories in all hierarchies; the first that it can be in is taken. The
	// shim's own will not do: who removes that kills what is in it.
	Groups [][]string `json:"groups"`
}

// OwnNamespaces are those that a shim may have of its own. Its exit commands run in those of who started the container.
var OwnNamespaces = []struct {
	Name string // in /proc/PID/ns
	Kind int
}{{"net", unix.CLONE_NEWNET}, {"ipc", unix.CLONE_NEWIPC}, {"uts", unix.CLONE_NEWUTS}}

// namespaces counts the descriptors that come with the request to start the container.
func (c *Container) namespaces() int {
	if c.ExitCommand == nil {
		return len(c.Join)
	}
	return len(c.Join) + len(OwnNamespaces)
}

// exitGrace is how long those have who are attached or have stopped the container: they take its end down themselves, which
// ends the shim, and would otherwise do it beside the exit command.
const exitGrace = 500 * time.Millisecond

// runExitCommand starts it. If it cannot be, whoever looks next at the container has its work.
func (s *server) runExitCommand(c *container, attended bool) {
	defer closeAll(c.exit)
	x := c.spec.ExitCommand
	if x == nil {
		return
	}
	if attended {
		<-time.After(exitGrace)
	}
	var err error
	for _, dirs := range x.Groups {
		if err = s.startExitCommand(x, dirs, c.exit); err == nil {
			return
		}
	}
	fmt.Fprintf(os.Stderr, "exit command of %s: %v\n", c.spec.ID, err)
}

func (s *server) startExitCommand(x *ExitCommand, dirs []string, spaces []*os.File) error {
	fd, err := unix.Open(x.Path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: x.Path, Err: err}
	}
	program := os.NewFile(uintptr(fd), x.Path)
	defer program.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	command := &spawn.Command{Program: program, Args: x.Args, Env: x.Env, Files: slices.Repeat([]*os.File{null}, 3), Setsid: true}
	for i, space := range OwnNamespaces {
		command.Join = append(command.Join, spawn.Join{File: spaces[i], Kinds: space.Kind})
	}
	return InGroups(dirs, func(group *os.File) error {
		command.Cgroup = group
		_, pidfd, err := s.fork(command, func(unix.WaitStatus) {})
		if err == nil {
			pidfd.Close()
		}
		return err
	})
}

// arrive and depart count those who are attached.
func (c *container) arrive() { c.attend(1) }
func (c *container) depart() { c.attend(-1) }

func (c *container) attend(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attached += n
}

// attended says whether somebody is there who will take the container's end down. One who went while the container was being
// started counts, too, and is waited for in vain.
func (c *container) attended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attached > 0 || c.stopped
}
