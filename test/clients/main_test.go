// Package clients runs clients that others wrote against the real binary: upstream's kubectl, helm, an operator
// built with controller-runtime, and the npm client. One dhow serves them all, on a root and in network and mount
// namespaces of its own; each test has a namespace of Kubernetes to itself.
package clients

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"dhow/internal/isolate"
)

// What the first process tells the second by its environment.
const (
	insideKey = "DHOW_CLIENTS_INSIDE"
	npmKey    = "DHOW_CLIENTS_NPM_ERROR"
)

// toolsKey names a folder to keep the programs in, so that the next run need not build them again.
const toolsKey = "DHOW_CLIENTS_TOOLS"

// shared is the cluster of all tests.
var shared *cluster

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if tools := os.Getenv(insideKey); tools != "" {
		return runInside(m, tools)
	}
	tools := os.Getenv(toolsKey)
	if tools == "" {
		if tools, err = os.MkdirTemp("", "dhow-clients-"); err != nil {
			return 1, err
		}
		defer os.RemoveAll(tools)
	}
	ctx := context.Background()
	if err := build(ctx, tools); err != nil {
		return 1, err
	}
	cmd := isolate.Command(exec.Command("/proc/self/exe", os.Args[1:]...))
	cmd.Env = append(os.Environ(), insideKey+"="+tools)
	if err := installNPM(ctx, filepath.Join(tools, "npm")); err != nil {
		cmd.Env = append(cmd.Env, npmKey+"="+err.Error())
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		return 1, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

func runInside(m *testing.M, tools string) (code int, err error) {
	if err := isolate.SetUp(); err != nil {
		return 1, err
	}
	if shared, err = startCluster(tools); err != nil {
		return 1, err
	}
	code = m.Run()
	if err := shared.end(); err != nil {
		return 1, err
	}
	if code != 0 && testing.Verbose() {
		fmt.Fprintf(os.Stderr, "the server's log:\n%s", shared.log())
	}
	return code, nil
}
