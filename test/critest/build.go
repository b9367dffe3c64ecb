package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// buildBinaries makes the suite and the programs in the images, those that are not there yet: about two minutes the first
// time.
func buildBinaries(ctx context.Context, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, args := range map[string][]string{
		"critest":    {"test", "-c", "-p=2", "sigs.k8s.io/cri-tools/cmd/critest"},
		"webserver":  {"build", "critest/webserver"},
		"nonewprivs": {"build", "critest/nonewprivs"},
		"tools":      {"build", "critest/tools"},
	} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		fmt.Printf("building %s ...\n", name)
		part := path + ".part"
		args = append([]string{args[0], "-buildvcs=false", "-ldflags=-s -w", "-o", part}, args[1:]...)
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build %s: %w", name, err)
		}
		if err := os.Rename(part, path); err != nil {
			return err
		}
	}
	return nil
}
