// Package e2e runs the real binary as a user does, on a machine of its own: the whole test program runs in
// network and mount namespaces that it makes for itself.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"dhow/internal/imagebuild"
	"dhow/internal/isolate"
)

// binary is the dhow under test.
var binary string

// What the first process tells the second by its environment.
const (
	insideKey   = "DHOW_E2E_INSIDE"
	packagesKey = "DHOW_E2E_PACKAGES"
)

// packages are fetched from Debian while the machine's network is there.
var packages = map[string][]string{
	"docker-registry": {"docker-registry"},
	"nginx":           {"nginx"},
	"redis":           {"redis-server", "redis-tools", "libatomic1", "libjemalloc2", "liblzf1"},
}

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
		dir, err := os.MkdirTemp("", "dhow-e2e-packages-")
		if err != nil {
			return 1, err
		}
		defer os.RemoveAll(dir)
		cmd := isolate.Command(exec.Command("/proc/self/exe", os.Args[1:]...))
		cmd.Env = append(os.Environ(), insideKey+"=1")
		if err := fetchPackages(dir); err != nil {
			cmd.Env = append(cmd.Env, packagesKey+"_ERROR="+err.Error())
		} else {
			cmd.Env = append(cmd.Env, packagesKey+"="+dir)
		}
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); cmd.ProcessState == nil {
			return 1, err
		}
		return cmd.ProcessState.ExitCode(), nil
	}
	if err := isolate.SetUp(); err != nil {
		return 1, err
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		return 1, err
	}
	binary = filepath.Join(root, "bin", "dhow")
	if out, err := exec.Command("make", "-C", root, "build").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build dhow: %w\n%s", err, out)
	}
	return m.Run(), nil
}

func fetchPackages(dir string) error {
	for name, list := range packages {
		if err := imagebuild.Download(context.Background(), filepath.Join(dir, name), list); err != nil {
			return err
		}
	}
	return nil
}
