package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// The parts that the binary plays, by its first argument.
const (
	// Part is the shim's: arguments are its folder, and what Setup says as JSON; descriptor 3 is its listening socket,
	// 4 is where it says what went wrong, and closes when it is ready.
	Part = "dhow-shim"
	// Holder is the part of who holds a user namespace, and is PID 1 of a pod's processes in it, until its input ends.
	Holder     = "dhow-hold"
	initPart   = "dhow-init"
	joinPart   = "dhow-join"
	reaperPart = "dhow-reap"
)

// Descriptors that init and entrance find open besides 0, 1 and 2; from holdFD on init only.
const (
	specFD   = 3
	reportFD = 4
	holdFD   = 5 // says when to go on
	ptsFD    = 6
	rootFD   = 7
	bindFD   = 8 // the first of those mounts that have a source
)

// Where the shim of a pod with a user namespace finds it, and what its holder listens to.
const (
	userFD = 5
	keepFD = 6
)

// Played runs the part that the arguments ask for and never returns from it; it returns at once when they ask for
// none. It must be called before anything else starts threads that hold locks.
func Played(args []string) {
	switch {
	case len(args) == 0:
	case args[0] == Part && len(args) > 2:
		os.Exit(play(args[1], args[2]))
	case args[0] == initPart:
		runtime.LockOSThread()
		become(initContainer)
	case args[0] == joinPart:
		runtime.LockOSThread()
		become(joinContainer)
	case args[0] == reaperPart && len(args) > 3:
		os.Exit(reapFor(args[1], args[2], args[3:]))
	case args[0] == Holder:
		hold()
	}
}

// play is the shim's life.
func play(dir, setup string) int {
	report := os.NewFile(4, "report")
	listener, userNS, err := prepare(setup)
	if err != nil {
		fmt.Fprint(report, err)
		return 1
	}
	s := &server{
		listener: listener, userNS: userNS, containers: map[string]*container{}, full: make(chan struct{}, 1),
		children: map[int]func(unix.WaitStatus){}, forked: make(chan struct{}, 1), watchers: map[chan string]struct{}{},
	}
	if s.program, err = openProgram(); err != nil {
		fmt.Fprint(report, err)
		return 1
	}
	report.Close()
	s.serve()
	return 0
}

// openProgram opens what this process runs, to start its other parts from anywhere.
func openProgram() (*os.File, error) {
	fd, err := unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("shim: its program: %w", err)
	}
	return os.NewFile(uintptr(fd), "program"), nil
}

// prepare makes the process what a shim should be, and the pod's namespaces what they should be.
func prepare(setup string) (listener, userNS *os.File, err error) {
	var s Setup
	if err := json.Unmarshal([]byte(setup), &s); err != nil {
		return nil, nil, fmt.Errorf("shim: set-up: %w", err)
	}
	if err := unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil { // also what the user's shell has left open
		return nil, nil, fmt.Errorf("shim: %w", err)
	}
	if s.UserNS {
		userNS = os.NewFile(userFD, "user namespace")
	}
	if err := harden(); err != nil {
		return nil, nil, fmt.Errorf("shim: %w", err)
	}
	if err := setUp(s); err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(3, true); err != nil {
		return nil, nil, fmt.Errorf("shim: %w", err)
	}
	return os.NewFile(3, "listener"), userNS, nil
}

func harden() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	// Huge pages would make a small process big. Kernels without them say so.
	if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	// Orphans of the pod's containers come to the shim, not to the machine's init.
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}
