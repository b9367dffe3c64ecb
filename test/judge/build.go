package judge

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Binary is built out of the module that is the working directory.
type Binary struct {
	Name, Package string
	Test          bool   // by go test -c
	Flags         string // the linker's, beside -s -w
}

// Build makes the binaries that are not in dir yet, each whole or not at all.
func Build(ctx context.Context, dir string, all ...Binary) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, b := range all {
		if _, err := os.Stat(filepath.Join(dir, b.Name)); err == nil {
			continue
		}
		begin := time.Now()
		fmt.Printf("building %s ...\n", b.Name)
		if err := b.build(ctx, dir); err != nil {
			return fmt.Errorf("build %s: %w", b.Name, err)
		}
		fmt.Printf("  %s\n", time.Since(begin).Round(time.Second))
	}
	return nil
}

func (b Binary) build(ctx context.Context, dir string) error {
	part := filepath.Join(dir, b.Name+".part")
	args := []string{"build"}
	if b.Test {
		args = []string{"test", "-c"}
	}
	args = append(args, "-p=2", "-buildvcs=false", "-ldflags", "-s -w "+b.Flags, "-o", part, b.Package)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	return os.Rename(part, filepath.Join(dir, b.Name))
}
