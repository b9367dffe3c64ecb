package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"judge"
)

// runSuite runs the chosen tests.
func runSuite(ctx context.Context, o options, d *judge.Dhow, results string) error {
	kubectl, err := o.kubectl(d, results)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(o.bin(), "ginkgo"),
		"--procs="+strconv.Itoa(o.procs), "--timeout="+o.Timeout.String(), "--focus="+o.Focus, "--skip="+o.Skip,
		"--no-color", "--succinct", "--silence-skips", "--output-dir="+results, "--json-report=report.json",
		filepath.Join(o.bin(), o.suite.program), "--",
		"--kubeconfig="+d.Kubeconfig(), "--kubectl-path="+kubectl, "--provider=skeleton",
		"--disable-log-dump", "--allowed-not-ready-nodes=0")
	cmd.Dir, cmd.Env = results, append(os.Environ(), "PATH="+o.bin()+":"+os.Getenv("PATH"))
	return judge.RunSuite(cmd, filepath.Join(results, "report.json"))
}

// kubectl is upstream's, or for a suite that is built without it dhow's.
func (o options) kubectl(d *judge.Dhow, results string) (string, error) {
	if o.suite.pods {
		return filepath.Join(o.bin(), "kubectl"), nil
	}
	program := filepath.Join(results, "kubectl")
	return program, d.MakeKubectl(program)
}
