package clients

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// build puts dhow and the clients' programs into dir; what is there already stays.
func build(ctx context.Context, dir string) error {
	if exists(filepath.Join(dir, "dhow"), filepath.Join(dir, "kubectl"), filepath.Join(dir, "helm")) {
		return nil
	}
	if err := command(ctx, "../..", "make", "--no-print-directory", "build"); err != nil {
		return err
	}
	binary, err := filepath.Abs("../../bin/dhow")
	if err != nil {
		return err
	}
	if err := os.Symlink(binary, filepath.Join(dir, "dhow")); err != nil {
		return err
	}
	version, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubectl").Output()
	if err != nil {
		return fmt.Errorf("ask for kubectl's version: %w", err)
	}
	// The library's v0.x.y is Kubernetes' v1.x.y.
	stamp := "-X k8s.io/component-base/version.gitVersion=v1" + strings.TrimPrefix(strings.TrimSpace(string(version)), "v0")
	return command(ctx, ".", "go", "build", "-ldflags", stamp, "-o", dir+"/", "./kubectl", "helm.sh/helm/v4/cmd/helm")
}

// installNPM puts the npm client, of the versions that package-lock.json fixes, and a node program into dir.
func installNPM(ctx context.Context, dir string) error {
	if exists(filepath.Join(dir, "node_modules")) {
		return nil
	}
	if err := os.CopyFS(dir, os.DirFS("npm")); err != nil {
		return err
	}
	return command(ctx, dir, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
}

func exists(paths ...string) bool {
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return false
		}
	}
	return true
}

func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}
