package container

import (
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"
)

// stallEnv makes this program do nothing until it is told to end.
const stallEnv = "DHOW_TEST_STALL"

func TestMain(m *testing.M) {
	if os.Getenv(stallEnv) != "" {
		end := make(chan os.Signal, 1)
		signal.Notify(end, unix.SIGTERM)
		<-end
		return
	}
	os.Exit(m.Run())
}
