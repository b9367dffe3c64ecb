package cli

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// machine is a root with the image busybox, on a machine of the test's own.
type machine struct{ root string }

func newMachine(t *testing.T) machine {
	t.Helper()
	root, err := os.MkdirTemp("", "dhow")
	check(t, err)
	m := machine{root}
	t.Cleanup(func() {
		m.dhow(t, "reset", "--yes")
		check(t, os.RemoveAll(root))
	})
	m.dhow(t, "load", "-i", busyboxArchive(t))
	return m
}

func (m machine) command(args ...string) *exec.Cmd {
	return exec.Command("dhow", append([]string{"--root", m.root}, args...)...)
}

// dhow gives what a command prints, which must succeed.
func (m machine) dhow(t *testing.T, args ...string) string {
	t.Helper()
	out, code := m.try(t, args...)
	if code != 0 {
		t.Errorf("dhow %s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
	return strings.TrimSpace(out)
}

func (m machine) try(t *testing.T, args ...string) (string, int) {
	t.Helper()
	out, err := m.command(args...).CombinedOutput()
	return string(out), exitCode(t, err)
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return ended.ExitCode()
	}
	check(t, err)
	return 0
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline, tick := time.After(3*time.Minute), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still not so after three minutes: %s", what)
		}
	}
}

// says waits until a buffer has a text.
func says(t *testing.T, b interface{ String() string }, text string) {
	t.Helper()
	deadline, tick := time.After(3*time.Minute), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(b.String(), text) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%q has not come after three minutes: %q", text, b.String())
		}
	}
}
