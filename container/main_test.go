package container

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// The parts that this program plays when a test runs it once more.
const (
	stallEnv  = "DHOW_TEST_STALL"  // does nothing until it is told to end
	keysEnv   = "DHOW_TEST_KEYS"   // says which session keyring it has
	daemonEnv = "DHOW_TEST_DAEMON" // a daemon that makes and removes pods: see crash_test.go
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(stallEnv) != "":
		end := make(chan os.Signal, 1)
		signal.Notify(end, unix.SIGTERM)
		<-end
	case os.Getenv(keysEnv) != "":
		ring, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
		fmt.Println("keyring", ring, err)
	case os.Getenv(daemonEnv) != "":
		busyDaemon(os.Getenv(daemonEnv))
	default:
		// The first thread never ends, so none that changes its namespaces (hideUnified) may be it: it stays here.
		runtime.LockOSThread()
		os.Exit(m.Run())
	}
}
