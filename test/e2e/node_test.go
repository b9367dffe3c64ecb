package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"dhow/internal/logtest"
)

// node is a dhow server on a root of its own.
type node struct {
	t      *testing.T
	root   string
	cmd    *exec.Cmd
	ended  chan struct{}
	log    *logtest.Buffer
	client kubernetes.Interface
}

// startNode runs a server until the test ends, and resets its root then. It returns when the node is Ready.
func startNode(t *testing.T) *node {
	t.Helper()
	n := newNode(t)
	n.start()
	n.waitReady()
	return n
}

// newNode has a root but no server yet.
func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, root: t.TempDir(), log: &logtest.Buffer{}}
	t.Cleanup(func() {
		n.stop()
		if out, err := n.dhow("reset", "--yes"); err != nil {
			t.Errorf("reset: %v\n%s", err, out)
		}
		if t.Failed() {
			t.Logf("server log:\n%s", n.log)
		}
	})
	return n
}

func (n *node) start(flags ...string) {
	n.t.Helper()
	n.cmd = exec.Command(binary, append([]string{"--root", n.root, "server"}, flags...)...)
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(n.cmd, n.ended)
}

// stop asks the server to end, as an administrator does.
func (n *node) stop() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.ended:
	case <-time.After(2 * time.Minute):
		n.t.Errorf("the server did not end within two minutes of SIGTERM")
		n.kill()
	}
	n.cmd = nil
}

// kill ends the server as a crash does.
func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	<-n.ended
	n.cmd = nil
}

func (n *node) waitReady() {
	n.t.Helper()
	n.eventually("the API server", time.Minute, func() error {
		config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(n.root, "etc/dhow/kubeconfig"))
		if err != nil {
			return err
		}
		n.client, err = kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		return n.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(context.Background()).Error()
	})
	n.eventually("a Ready node", time.Minute, func() error {
		nodes, err := n.client.CoreV1().Nodes().List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, item := range nodes.Items {
			for _, c := range item.Status.Conditions {
				if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
					return nil
				}
			}
		}
		return fmt.Errorf("no Ready node among %d", len(nodes.Items))
	})
}

// eventually tries until it succeeds; the last error is the test's.
func (n *node) eventually(what string, within time.Duration, try func() error) {
	n.t.Helper()
	deadline := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			n.t.Fatalf("waiting for %s: %v", what, err)
		case <-n.ended:
			n.t.Fatalf("waiting for %s: the server has ended", what)
		}
	}
}

// dhow runs the binary on this node's root and returns all it printed.
func (n *node) dhow(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, append([]string{"--root", n.root}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// kubectl must succeed.
func (n *node) kubectl(args ...string) string {
	n.t.Helper()
	out, err := n.dhow(append([]string{"kubectl"}, args...)...)
	if err != nil {
		n.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// apply gives kubectl a manifest and returns what it says, also when it refuses.
func (n *node) apply(manifest string) (string, error) {
	n.t.Helper()
	path := filepath.Join(n.t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return n.dhow("kubectl", "apply", "-f", path)
}

func (n *node) mustApply(manifest string) {
	n.t.Helper()
	if out, err := n.apply(manifest); err != nil {
		n.t.Fatalf("apply: %v\n%s", err, out)
	}
}
