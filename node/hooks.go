package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"dhow/container"
)

// postStart runs a container's hook; if it fails the container is ended, to be started again.
func (s *starter) postStart(ctx context.Context, c *corev1.Container, id string) {
	s.hooked[id] = true
	if c.Lifecycle == nil || c.Lifecycle.PostStart == nil {
		return
	}
	if err := s.hook(ctx, s.pod, c, id, c.Lifecycle.PostStart, s.ips); err != nil && ctx.Err() == nil {
		s.node.events.pod(s.pod, c.Name, corev1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed: %v", err)
		s.setUnhealthy(id, "FailedPostStartHook")
		s.nudge()
	}
}

// postStartAgain runs the hook of a container that was started by an agent which then died: at least once.
func (s *starter) postStartAgain(ctx context.Context, c *corev1.Container, now *instance) {
	if c.Lifecycle != nil && c.Lifecycle.PostStart != nil && !s.hooked[now.Id] && !s.reportedRunning(now) {
		s.postStart(ctx, c, now.Id)
	}
}

// reportedRunning: the API has heard of this start, which is told after the hook.
func (s *starter) reportedRunning(now *instance) bool {
	status := statusOf(s.pod, now.Labels[labelContainerName])
	return status != nil && status.ContainerID == containerID(now.Id)
}

// hook runs one handler.
func (w *worker) hook(ctx context.Context, pod *corev1.Pod, c *corev1.Container, id string, h *corev1.LifecycleHandler, ips []string) error {
	switch {
	case h.Exec != nil:
		return w.hookExec(ctx, id, h.Exec.Command)
	case h.HTTPGet != nil:
		return hookHTTP(ctx, h.HTTPGet, c, first(ips))
	case h.Sleep != nil:
		select {
		case <-time.After(time.Duration(h.Sleep.Seconds) * time.Second):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	case h.TCPSocket != nil: // kept for old manifests; it has never done anything
		return nil
	}
	return nil
}

func (w *worker) hookExec(ctx context.Context, id string, command []string) error {
	var out bytes.Buffer
	limited := &limitedWriter{to: &out, left: 10 << 10}
	code, err := w.node.config.Runtime.Exec(ctx, id, container.ExecOptions{Command: command, Streams: container.Streams{Stdout: limited, Stderr: limited}})
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("command %q exited with %d: %s", command, code, out.String())
	}
	return nil
}

func hookHTTP(ctx context.Context, get *corev1.HTTPGetAction, c *corev1.Container, ip string) error {
	u, headers, err := httpTarget(get, c, ip)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return err
	}
	request.Header = headers
	request.Host = headers.Get("Host")
	response, err := insecureClient.Do(request)
	var plain *net.OpError
	if err != nil && !errors.As(err, &plain) && request.URL.Scheme == "https" {
		request.URL.Scheme = "http" // manifests of old relied on this
		response, err = insecureClient.Do(request)
	}
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	return response.Body.Close()
}

// portOf is the number of a port, which may be a container port's name.
func portOf(port intstr.IntOrString, c *corev1.Container) (string, error) {
	if port.Type == intstr.Int {
		return strconv.Itoa(port.IntValue()), nil
	}
	for _, p := range c.Ports {
		if p.Name == port.StrVal {
			return strconv.Itoa(int(p.ContainerPort)), nil
		}
	}
	if number, err := strconv.Atoi(port.StrVal); err == nil && number > 0 && number < 65536 {
		return port.StrVal, nil
	}
	return "", fmt.Errorf("container %s has no port named %q", c.Name, port.StrVal)
}

// limitedWriter keeps the first bytes and swallows the rest.
type limitedWriter struct {
	to   io.Writer
	left int
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	keep := p[:min(len(p), l.left)]
	l.left -= len(keep)
	if _, err := l.to.Write(keep); err != nil {
		return 0, err
	}
	return len(p), nil
}
