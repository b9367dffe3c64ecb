package judge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// insideMark is the variable that tells a process that it has namespaces of its own.
const insideMark = "DHOW_JUDGE_INSIDE"

// Inside says whether this process has the namespaces of the run.
func Inside() bool { return os.Getenv(insideMark) != "" }

// Enter runs this program again, in network, mount and IPC namespaces of its own, and ends as that does.
func Enter(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideMark+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC, Unshareflags: syscall.CLONE_NEWNS}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		os.Exit(exit.ExitCode()) // it has said why
	} else if err != nil {
		return err
	}
	return nil
}

// links are the only ones that the run sees: loopback, and a pair whose near end is the machine's.
var links = []string{
	"link set lo up",
	"link add eth0 type veth peer name far",
	"address add 192.0.2.10/24 dev eth0",
	"link set eth0 up",
	"link set far up",
	"route add default via 192.0.2.1",
}

// MakeLinks gives a network namespace what a machine has.
func MakeLinks(ctx context.Context) error {
	for _, link := range links {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(link)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s (is iproute2 installed?)", link, err, out)
		}
	}
	return nil
}
