package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
)

// A binary that is built out of this module.
type binary struct {
	name, pkg string
	test      bool // by go test -c
	version   bool // is told the version of Kubernetes
}

var binaries = []binary{
	{name: "ginkgo", pkg: "github.com/onsi/ginkgo/v2/ginkgo"},
	{name: "kubectl", pkg: "k8s.io/kubernetes/cmd/kubectl", version: true},
	{name: "e2e.test", pkg: "k8s.io/kubernetes/test/e2e", test: true, version: true},
	{name: "api.test", pkg: "conformance/api", test: true, version: true},
	{name: "agnhost", pkg: "k8s.io/kubernetes/test/images/agnhost"},
	{name: "sample-apiserver", pkg: "k8s.io/sample-apiserver"},
	{name: "nnp", pkg: "k8s.io/kubernetes/test/images/nonewprivs"},
	{name: "etcd", pkg: "conformance/etcd"},
	{name: "pause", pkg: "conformance/pause"},
}

// buildBinaries makes what a suite needs and is not there yet: about a quarter of an hour the first time on two cores,
// for the API's alone less than five minutes.
func buildBinaries(ctx context.Context, dir string, suite choice) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, b := range binaries {
		if !suite.needs(b) {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, b.name)); err == nil {
			continue
		}
		begin := time.Now()
		fmt.Printf("building %s ...\n", b.name)
		if err := b.build(ctx, dir); err != nil {
			return fmt.Errorf("build %s: %w", b.name, err)
		}
		fmt.Printf("  %s\n", time.Since(begin).Round(time.Second))
	}
	return nil
}

// build leaves the binary whole or not at all.
func (b binary) build(ctx context.Context, dir string) error {
	part := filepath.Join(dir, b.name+".part")
	args := []string{"build"}
	if b.test {
		args = []string{"test", "-c"}
	}
	args = append(args, "-p=2", "-buildvcs=false", "-ldflags", b.flags(), "-o", part, b.pkg)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	return os.Rename(part, filepath.Join(dir, b.name))
}

// flags are the linker's: without symbols, and for upstream's programs with the version that they compare with the server's.
func (b binary) flags() string {
	if !b.version {
		return "-s -w"
	}
	version := moduleVersion("k8s.io/kubernetes")
	minor := strings.Split(version, ".")[1]
	flags := []string{"-s -w"}
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags, fmt.Sprintf("-X %s.gitVersion=%s -X %s.gitMajor=1 -X %s.gitMinor=%s", pkg, version, pkg, pkg, minor))
	}
	return strings.Join(flags, " ")
}

// moduleVersion is that of a module of which this program is made too.
func moduleVersion(path string) string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	panic("no module " + path)
}

// moduleDir is where a module's files are.
func moduleDir(ctx context.Context, path string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", path)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go list -m %s: %w", path, err)
	}
	return strings.TrimSpace(string(out)), nil
}
