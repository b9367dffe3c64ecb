// Package spawn starts programs in namespaces that package syscall cannot start them in: the child joins user, time and
// mount namespaces before it executes the program, while it has one thread.
package spawn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Command is a program to start.
type Command struct {
	// Program is open for execution (execveat(2)).
	Program *os.File
	Args    []string
	Env     []string
	// Files become descriptors 0, 1, 2 …
	Files []*os.File
	// Flags are the namespaces (CLONE_NEW…) that it is cloned into.
	Flags uintptr
	// Join are namespaces that it enters then, in this order.
	Join []Join
	// Then are namespaces that are made inside those that it has joined. A process id namespace among them costs a
	// second process, which is the one that lives on, as the caller's child.
	Then uintptr
	// Root makes it user and group 0 of the user namespace that it has joined.
	Root bool
	// Clocks, if not empty, is what /proc/self/timens_offsets takes; the process gets a time namespace of its own.
	Clocks string
	// Setsid makes it the leader of a session of its own.
	Setsid bool
	// Cgroup is open at a group of version 2 to be born in; nil: the caller's.
	Cgroup *os.File
	// NoFile is the limit of open files, where it is not to be the caller's.
	NoFile *unix.Rlimit
}

// Join is a namespace to enter.
type Join struct {
	File *os.File
	// Kinds are the CLONE_NEW… flags of the namespaces that File stands for: one for a namespace, any for a pidfd.
	Kinds int
}

// The steps that a child may fail at.
const (
	stepPid = iota // not a failure: the value is the id of the second process
	stepJoin
	stepUser
	stepClocks
	stepClone
	stepFiles
	stepExec
)

var stepNames = map[uint32]string{
	stepJoin: "join namespaces", stepUser: "become the user namespace's root", stepClocks: "set the clocks of a time namespace",
	stepClone: "make namespaces", stepFiles: "pass files", stepExec: "execute the program",
}

// Start returns the process' id once the program runs. The caller keeps its children from being reaped meanwhile.
func Start(c *Command) (int, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	p, err := prepare(c, w)
	if err != nil {
		w.Close()
		return 0, err
	}
	syscall.ForkLock.Lock()
	pid, errno := fork(p)
	syscall.ForkLock.Unlock()
	w.Close()
	if errno != 0 {
		return 0, fmt.Errorf("clone: %w", errno)
	}
	return listen(r, int(pid))
}

// listen reads what the child says until it executes the program.
func listen(r io.Reader, pid int) (int, error) {
	said, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	for ; len(said) >= 8; said = said[8:] {
		step, value := binary.NativeEndian.Uint32(said), binary.NativeEndian.Uint32(said[4:])
		reap(pid) // a first one that has made the second, or one that has failed: both have said their last
		if step == stepPid {
			pid = int(value)
			continue
		}
		return 0, fmt.Errorf("%s: %w", stepNames[step], syscall.Errno(value))
	}
	return pid, nil
}

// reap waits for a child's end; somebody who waits for all children may have been quicker.
func reap(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// prepared is a command in the form that the child needs, which can allocate nothing.
type prepared struct {
	clone          cloneArgs
	report         uintptr
	program        uintptr
	argv, envp     []*byte
	empty          *byte
	files          []uintptr
	joinFD         []uintptr
	joinKind       []uintptr
	then           uintptr
	root           bool
	clocks         []byte
	clocksPath     *byte
	clocksNS       *byte
	setsid         bool
	nofile         *unix.Rlimit
	message        [2]uint32
	messageAddress uintptr
}

// cloneArgs are clone3(2)'s.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

func prepare(c *Command, report *os.File) (*prepared, error) {
	p := &prepared{
		clone:  cloneArgs{flags: uint64(c.Flags), exitSignal: uint64(unix.SIGCHLD)},
		report: report.Fd(), program: c.Program.Fd(), then: c.Then, root: c.Root, setsid: c.Setsid, nofile: c.NoFile, clocks: []byte(c.Clocks),
	}
	if c.Cgroup != nil {
		p.clone.flags |= unix.CLONE_INTO_CGROUP
		p.clone.cgroup = uint64(c.Cgroup.Fd())
	}
	var err error
	if p.argv, err = syscall.SlicePtrFromStrings(c.Args); err != nil {
		return nil, err
	}
	if p.envp, err = syscall.SlicePtrFromStrings(c.Env); err != nil {
		return nil, err
	}
	p.empty, _ = syscall.BytePtrFromString("")
	p.clocksPath, _ = syscall.BytePtrFromString("/proc/self/timens_offsets")
	p.clocksNS, _ = syscall.BytePtrFromString("/proc/self/ns/time_for_children")
	for _, f := range c.Files {
		p.files = append(p.files, f.Fd())
	}
	for _, j := range c.Join {
		p.joinFD, p.joinKind = append(p.joinFD, j.File.Fd()), append(p.joinKind, uintptr(j.Kinds))
	}
	p.messageAddress = uintptr(unsafe.Pointer(&p.message)) // p stays where it is: the heap does not move
	return p, nil
}
