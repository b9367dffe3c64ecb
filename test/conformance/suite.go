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
	kubectl, err := o.kubectl(results)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(o.bin(), "ginkgo"),
		"--procs="+strconv.Itoa(o.procs), "--timeout="+o.timeout.String(), "--focus="+o.focus, "--skip="+o.skip,
		"--no-color", "--succinct", "--silence-skips", "--output-dir="+results, "--json-report=report.json",
		filepath.Join(o.bin(), o.suite.program), "--",
		"--kubeconfig="+kubeconfig, "--kubectl-path="+kubectl, "--provider=skeleton",
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

// kubectl is upstream's, or for a suite that is built without it dhow under that name.
func (o options) kubectl(results string) (string, error) {
	if o.suite.pods {
		return filepath.Join(o.bin(), "kubectl"), nil
	}
	link := filepath.Join(results, "kubectl")
	return link, os.Symlink(o.dhow, link)
}
