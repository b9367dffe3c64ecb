package judge

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// RunSuite runs the program of a suite, which writes ginkgo's JSON report to report. Its log is log.txt in the program's
// working directory. That tests fail is no error of its own, since the report tells it.
func RunSuite(cmd *exec.Cmd, report string) error {
	log, err := os.Create(filepath.Join(cmd.Dir, "log.txt"))
	if err != nil {
		return err
	}
	defer log.Close()
	if err := os.Remove(report); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if info, statErr := os.Stat(report); statErr != nil || info.Size() == 0 {
		return fmt.Errorf("the suite wrote no report (%v); see %s", err, log.Name())
	}
	return nil
}
