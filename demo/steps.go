package demo

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/examples"
)

// apply writes the manifests out as a user has them and applies them.
func (s *show) apply() error {
	dir := filepath.Join(s.Dir, "examples")
	if err := os.CopyFS(dir, examples.TwoTier); err != nil && !os.IsExist(err) {
		return err
	}
	if _, err := fs.Stat(examples.TwoTier, "two-tier/web.yaml"); err != nil {
		return err
	}
	begin := time.Now()
	if _, err := s.kubectl("apply", "-f", filepath.Join(dir, "two-tier")); err != nil {
		return err
	}
	if err := s.waitReplicas("web", 3); err != nil {
		return err
	}
	s.say("3 replicas ready after %s", round(time.Since(begin)))
	if err := s.waitReplicas("backend", 1); err != nil {
		return err
	}
	_, err := s.kubectl("get", "pods,services", "-o", "wide")
	return err
}

// waitReplicas waits until a deployment has exactly n replicas, all of them ready and of its newest version.
func (s *show) waitReplicas(name string, n int32) error {
	return s.waitFor(fmt.Sprintf("%d ready replicas of %s", n, name), func() (bool, error) {
		d, err := s.client.AppsV1().Deployments("default").Get(s.ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		st := d.Status
		return st.ObservedGeneration >= d.Generation && st.Replicas == n && st.UpdatedReplicas == n && st.AvailableReplicas == n, nil
	})
}

// askNodePort asks until every replica has answered.
func (s *show) askNodePort() error {
	pods := map[string]int{}
	err := s.waitFor("an answer from each of the 3 replicas", func() (bool, error) {
		a, err := ask(s.ctx, nodePortURL)
		if err != nil {
			return false, err
		}
		pods[a.Pod]++
		return len(pods) == 3, nil
	})
	s.say("answers by replica: %v", pods)
	return err
}

// askByName asks from inside the backend's pod, which has the dhow binary and so its small HTTP client.
func (s *show) askByName() error {
	_, err := s.kubectl("exec", "deploy/backend", "--", "/dhow", "demo", "app", "get", "http://web.default.svc.cluster.local/")
	return err
}

func (s *show) scale() error {
	if _, err := s.kubectl("scale", "deployment/web", "--replicas=10"); err != nil {
		return err
	}
	return s.waitReplicas("web", 10)
}

func (s *show) update() error {
	t, err := s.duringRequests(func() error {
		if _, err := s.kubectl("set", "image", "deployment/web", "web="+imageName("2")); err != nil {
			return err
		}
		if _, err := s.kubectl("rollout", "status", "deployment/web", "--timeout=120s"); err != nil {
			return err
		}
		return s.waitReplicas("web", 10)
	})
	if err == nil && (t.versions["1"] == 0 || t.versions["2"] == 0) {
		err = fmt.Errorf("answers came from %v, not from both versions", t.versions)
	}
	return err
}

func (s *show) rollBack() error {
	_, err := s.duringRequests(func() error {
		if _, err := s.kubectl("rollout", "undo", "deployment/web"); err != nil {
			return err
		}
		return s.waitReplicas("web", 10)
	})
	if err != nil {
		return err
	}
	a, err := ask(s.ctx, nodePortURL)
	if err == nil && a.Version != "1" {
		err = fmt.Errorf("version %s answers after the rollback", a.Version)
	}
	return err
}

func (s *show) logsExecForward() error {
	if _, err := s.kubectl("logs", "deployment/backend", "--tail=2"); err != nil {
		return err
	}
	if _, err := s.kubectl("exec", "deploy/web", "--", "/dhow", "version"); err != nil {
		return err
	}
	return s.portForward()
}

// portForward runs kubectl port-forward for the time of one request.
func (s *show) portForward() error {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, s.Self, "--root", s.Dir, "kubectl", "port-forward", "deployment/web", ":8080")
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() { _ = cmd.Wait() }() // it ends by our own cancel
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cancel()
		_, _ = io.Copy(io.Discard, out)
		return fmt.Errorf("kubectl port-forward: %w: %s", err, complaints.String())
	}
	s.say("$ kubectl port-forward deployment/web :8080")
	s.say("  %s", strings.TrimSpace(line))
	local, _, _ := strings.Cut(strings.TrimPrefix(line, "Forwarding from "), " ")
	answer, err := ask(s.ctx, "http://"+local+"/")
	if err != nil {
		return err
	}
	s.say("  answered by %s", answer.Pod)
	cancel()
	return nil
}

func (s *show) killDaemon() error {
	before, err := s.restarts()
	if err != nil {
		return err
	}
	_, err = s.duringRequests(func() error {
		s.server.kill()
		s.say("killed; the application goes on without it")
		if err := s.launch(); err != nil {
			return err
		}
		begin := time.Now()
		if err := s.connect(); err != nil {
			return err
		}
		if err := s.waitFor("the node to be Ready", s.nodeReady); err != nil {
			return err
		}
		s.say("a new daemon has taken over after %s", round(time.Since(begin)))
		return s.waitReplicas("web", 10)
	})
	if err != nil {
		return err
	}
	after, err := s.restarts()
	if err == nil && after != before {
		err = fmt.Errorf("containers were restarted: %d times before, %d after", before, after)
	}
	return err
}

// restarts adds up how often containers were restarted.
func (s *show) restarts() (int32, error) {
	pods, err := s.client.CoreV1().Pods("default").List(s.ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	var n int32
	for _, p := range pods.Items {
		for _, c := range p.Status.ContainerStatuses {
			n += c.RestartCount
		}
	}
	return n, nil
}
