package demo

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// server is a running daemon.
type server struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// launch starts the daemon; its log goes to Err.
func (s *show) launch() error {
	cmd := exec.Command(s.Self, "server", "--root", s.Dir)
	cmd.Stdout, cmd.Stderr = s.Err, s.Err
	if err := cmd.Start(); err != nil {
		return err
	}
	s.server = &server{cmd: cmd, ended: make(chan struct{})}
	go func(sv *server) {
		_ = sv.cmd.Wait() // how it ended is in the log
		close(sv.ended)
	}(s.server)
	return nil
}

// kill ends the daemon as a crash does.
func (sv *server) kill() {
	_ = sv.cmd.Process.Kill()
	<-sv.ended
}

// stop ends the daemon as an administrator does.
func (sv *server) stop() {
	_ = sv.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-sv.ended:
	case <-time.After(30 * time.Second):
		sv.kill()
	}
}

func (s *show) startServer() error {
	begin := time.Now()
	if err := s.launch(); err != nil {
		return err
	}
	if err := s.connect(); err != nil {
		return err
	}
	s.say("API server answers after %s", round(time.Since(begin)))
	err := s.waitFor("the node to be Ready", s.nodeReady)
	s.say("node Ready after %s", round(time.Since(begin)))
	return err
}

// connect waits for the kubeconfig and for the API server behind it.
func (s *show) connect() error {
	return s.waitFor("the API server", func() (bool, error) {
		config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(s.Dir, "etc/dhow/kubeconfig"))
		if err != nil {
			return false, nil // not written yet
		}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return false, err
		}
		if err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(s.ctx).Error(); err != nil {
			return false, nil
		}
		s.client = client
		return true, nil
	})
}

func (s *show) nodeReady() (bool, error) {
	nodes, err := s.client.CoreV1().Nodes().List(s.ctx, metav1.ListOptions{})
	if err != nil {
		return false, err
	}
	for _, n := range nodes.Items {
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return true, nil
			}
		}
	}
	return false, nil
}

// waitFor asks again and again, for at most two minutes; it gives up early when the daemon ends by itself.
func (s *show) waitFor(what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		case <-s.server.ended:
			return fmt.Errorf("waiting for %s: the server has ended; its log says why", what)
		}
	}
}

// dhow runs the binary and returns all it printed.
func (s *show) dhow(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.Self, append([]string{"--root", s.Dir}, args...)...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// kubectl shows a command and what it prints.
func (s *show) kubectl(args ...string) (string, error) {
	out, err := s.dhow(s.ctx, append([]string{"kubectl"}, args...)...)
	s.say("$ kubectl %s", strings.Join(args, " "))
	for line := range bytes.Lines([]byte(out)) {
		s.say("  %s", bytes.TrimRight(line, "\n"))
	}
	if err != nil {
		return out, fmt.Errorf("kubectl %s: %w", args[0], err)
	}
	return out, nil
}
