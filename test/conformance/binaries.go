package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"

	"judge"
)

// binary is one that is built out of this module.
type binary struct {
	judge.Binary
	version bool // is told the version of Kubernetes
}

var binaries = []binary{
	{Binary: judge.Binary{Name: "ginkgo", Package: "github.com/onsi/ginkgo/v2/ginkgo"}},
	{Binary: judge.Binary{Name: "kubectl", Package: "k8s.io/kubernetes/cmd/kubectl"}, version: true},
	{Binary: judge.Binary{Name: "e2e.test", Package: "k8s.io/kubernetes/test/e2e", Test: true}, version: true},
	{Binary: judge.Binary{Name: "api.test", Package: "conformance/api", Test: true}, version: true},
	{Binary: judge.Binary{Name: "agnhost", Package: "k8s.io/kubernetes/test/images/agnhost"}},
	{Binary: judge.Binary{Name: "sample-apiserver", Package: "k8s.io/sample-apiserver"}},
	{Binary: judge.Binary{Name: "nnp", Package: "k8s.io/kubernetes/test/images/nonewprivs"}},
	{Binary: judge.Binary{Name: "etcd", Package: "conformance/etcd"}},
	{Binary: judge.Binary{Name: "pause", Package: "conformance/pause"}},
}

// buildBinaries makes what a suite needs and is not there yet: about a quarter of an hour the first time on two cores,
// for the API's alone less than five minutes.
func buildBinaries(ctx context.Context, dir string, suite choice) error {
	var needed []judge.Binary
	for _, b := range binaries {
		if suite.needs(b) {
			b.Flags = b.flags()
			needed = append(needed, b.Binary)
		}
	}
	return judge.Build(ctx, dir, needed...)
}

// flags are the linker's: for upstream's programs the version that they compare with the server's.
func (b binary) flags() string {
	if !b.version {
		return ""
	}
	version := moduleVersion("k8s.io/kubernetes")
	minor := strings.Split(version, ".")[1]
	var flags []string
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
