package shim

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// The parts that the binary plays, by its first argument.
const (
	// Part is the shim's: arguments are its folder, and what Setup says as JSON; descriptor 3 is its listening socket,
	// 4 is where it says what went wrong, and closes when it is ready.
	Part     = "dhow-shim"
	initPart = "dhow-init"
	joinPart = "dhow-join"
)

// Descriptors that init and entrance find open besides 0, 1 and 2.
const (
	specFD   = 3
	reportFD = 4
	extraFD  = 5 // init: its devpts; entrance: a pidfd of the container
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
	}
}

// play is the shim's life.
func play(dir, setup string) int {
	report := os.NewFile(4, "report")
	listener, err := prepare(dir, setup)
	if err != nil {
		fmt.Fprint(report, err)
		return 1
	}
	report.Close()
	s := &server{
		listener: listener, containers: map[string]*container{},
		children: map[int]func(unix.WaitStatus){}, forked: make(chan struct{}, 1), watchers: map[chan string]struct{}{},
	}
	s.serve()
	return 0
}

func prepare(_ string, setup string) (*os.File, error) {
	for _, fd := range []int{3, 4} {
		unix.CloseOnExec(fd)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("shim: %w", err)
	}
	// Orphans of the pod's containers come to the shim, not to the machine's init.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("shim: %w", err)
	}
	if err := setUp(setup); err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(3, true); err != nil {
		return nil, fmt.Errorf("shim: %w", err)
	}
	return os.NewFile(3, "listener"), nil
}
