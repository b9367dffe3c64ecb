package e2e

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
)

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

// hostTrace is everything outside its root that a node could leave on a machine, one line each.
func hostTrace(t *testing.T) []string {
	t.Helper()
	var trace []string
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		trace = append(trace, "link "+l.Name)
	}
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		trace = append(trace, "table "+table.Name)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		trace = append(trace, "mount "+strings.Fields(line)[4])
	}
	trace = append(trace, cgroups(t)...)
	trace = append(trace, shims(t)...)
	slices.Sort(trace)
	return trace
}

func cgroups(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, "/dhow-") {
			found = append(found, "cgroup "+path)
		}
		return nil // groups of others come and go
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// shims are the processes that outlive a daemon.
func shims(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range paths {
		if cmdline, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(cmdline), "dhow-shim") {
			found = append(found, "process "+filepath.Base(filepath.Dir(path)))
		}
	}
	return found
}

func TestResetRemovesEveryTrace(t *testing.T) {
	before := hostTrace(t)
	n := startNode(t)
	n.loadBusybox()
	n.mustApply(`
apiVersion: v1
kind: Pod
metadata: {name: traces, labels: {app: traces}}
spec:
  containers:
    - name: main
      image: ` + busyboxImage + `
      command: [sleep, "1000"]
      ports: [{containerPort: 80, hostPort: 8081}]
      volumeMounts: [{name: memory, mountPath: /memory}]
  volumes:
    - {name: memory, emptyDir: {medium: Memory}}
---
apiVersion: v1
kind: Service
metadata: {name: traces}
spec:
  type: NodePort
  selector: {app: traces}
  ports: [{port: 80}]
`)
	n.kubectl("wait", "--for=condition=Ready", "pod/traces", "--timeout=60s")
	during := hostTrace(t)
	for _, kind := range []string{"link ", "table ", "mount ", "cgroup ", "process "} {
		if count(during, kind) <= count(before, kind) {
			t.Errorf("a running pod shows no new %s: the comparison would prove nothing", kind)
		}
	}
	n.kill()
	if out, err := n.dhow("reset", "--yes"); err != nil {
		t.Fatalf("reset: %v\n%s", err, out)
	}
	if after := hostTrace(t); !slices.Equal(before, after) {
		t.Errorf("left behind: %v", difference(after, before))
	}
	left, err := os.ReadDir(n.root)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range left {
		_ = filepath.WalkDir(filepath.Join(n.root, dir.Name()), func(path string, d fs.DirEntry, _ error) error {
			if !d.IsDir() {
				t.Errorf("left behind: %s", path)
			}
			return nil
		})
	}
}

func count(trace []string, kind string) int {
	n := 0
	for _, line := range trace {
		if strings.HasPrefix(line, kind) {
			n++
		}
	}
	return n
}

func difference(a, b []string) []string {
	var only []string
	for _, line := range a {
		if !slices.Contains(b, line) {
			only = append(only, line)
		}
	}
	return only
}

func TestResetRefusesWhileTheServerRuns(t *testing.T) {
	n := startNode(t)
	out, err := n.dhow("reset", "--yes")
	if err == nil {
		t.Error("a running server was reset")
	}
	wantAll(t, out, "running")
	n.eventually("the cluster to answer still", 10*time.Second, func() error {
		_, err := n.dhow("kubectl", "get", "nodes")
		return err
	})
}
