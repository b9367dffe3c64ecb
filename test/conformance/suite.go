package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// runSuite runs the chosen tests; that some fail is no error of its own, since the report tells it.
func runSuite(ctx context.Context, o options, kubeconfig, results string) error {
	log, err := os.Create(filepath.Join(results, "log.txt"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, filepath.Join(o.bin(), "ginkgo"),
		"--procs="+strconv.Itoa(o.procs), "--timeout="+o.timeout.String(), "--focus="+o.focus, "--skip="+o.skip,
		"--no-color", "--succinct", "--silence-skips", "--output-dir="+results, "--json-report=report.json",
		filepath.Join(o.bin(), "e2e.test"), "--",
		"--kubeconfig="+kubeconfig, "--kubectl-path="+filepath.Join(o.bin(), "kubectl"), "--provider=skeleton",
		"--disable-log-dump", "--allowed-not-ready-nodes=0")
	cmd.Dir, cmd.Stdout, cmd.Stderr = results, log, log
	cmd.Env = append(os.Environ(), "PATH="+o.bin()+":"+os.Getenv("PATH"))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if info, statErr := os.Stat(filepath.Join(results, "report.json")); statErr != nil || info.Size() == 0 {
		return fmt.Errorf("the suite wrote no report (%v); see %s", err, log.Name())
	}
	return nil
}
