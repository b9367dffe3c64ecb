//go:build e2e

// Package e2e runs the real binary as a user does, on a machine of its own: the whole test program runs in
// network and mount namespaces that it makes for itself.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"dhow/internal/isolate"
)

// binary is the dhow under test.
var binary string

const insideKey = "DHOW_E2E_INSIDE"

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if os.Getenv(insideKey) == "" {
		cmd := isolate.Command(exec.Command("/proc/self/exe", os.Args[1:]...))
		cmd.Env = append(os.Environ(), insideKey+"=1")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); cmd.ProcessState == nil {
			return 1, err
		}
		return cmd.ProcessState.ExitCode(), nil
	}
	if err := isolate.SetUp(); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "dhow-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "dhow")
	build := exec.Command("go", "build", "-o", binary, "dhow")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build dhow: %w\n%s", err, out)
	}
	return m.Run(), nil
}
