package e2e

import (
	"crypto/sha256"
	"encoding/hex"
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

// hostTrace is everything outside its root that the node could leave on the machine, one line each.
func (n *node) hostTrace() []string {
	t := n.t
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
	trace = append(trace, n.cgroups()...)
	trace = append(trace, n.shims()...)
	slices.Sort(trace)
	return trace
}

// cgroups are below a name of the root's own (ARCHITECTURE.md): groups of others come and go.
func (n *node) cgroups() []string {
	n.t.Helper()
	sum := sha256.Sum256([]byte(n.root))
	name := "dhow-" + hex.EncodeToString(sum[:4])
	var found []string
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path+"/", "/"+name+"/") {
			found = append(found, "cgroup "+path)
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return found
}

// shims are the processes that outlive a daemon.
func (n *node) shims() []string {
	n.t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		n.t.Fatal(err)
	}
	var found []string
	for _, path := range paths {
		if cmdline, err := os.ReadFile(path); err == nil && strings.HasPrefix(string(cmdline), "dhow-shim\x00"+n.root+"/") {
			found = append(found, "process "+filepath.Base(filepath.Dir(path)))
		}
	}
	return found
}

func TestResetRemovesEveryTrace(t *testing.T) {
	n := newNode(t)
	before := n.hostTrace()
	n.start()
	n.waitReady()
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
	during := n.hostTrace()
	for _, kind := range []string{"link ", "table ", "mount ", "cgroup ", "process "} {
		if count(during, kind) <= count(before, kind) {
			t.Errorf("a running pod shows no new %s: the comparison would prove nothing", kind)
		}
	}
	n.kill()
	if out, err := n.dhow("reset", "--yes"); err != nil {
		t.Fatalf("reset: %v\n%s", err, out)
	}
	n.ended = nil                                                         // it has been killed
	n.eventually("nothing to be left behind", time.Minute, func() error { // the kernel takes some of it away in the background
		if left := difference(n.hostTrace(), before); len(left) > 0 {
			return errorf("left behind: %v", left)
		}
		return nil
	})
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
	n.eventually("the cluster to answer still", time.Minute, func() error {
		_, err := n.dhow("kubectl", "get", "nodes")
		return err
	})
}
