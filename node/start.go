package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"dhow/api/podspec"
)

// waitReason is why a container does not run yet, as its status says it.
type waitReason struct{ reason, message string }

// starter is one pass over a pod's containers.
type starter struct {
	*worker
	pod      *corev1.Pod
	observed *observed
	ips      []string
	fresh    map[string]bool // images that this pass has pulled
	again    time.Duration   // until the earliest next try
	err      error
}

// later asks for another pass.
func (s *starter) later(d time.Duration) {
	if d > 0 && (s.again == 0 || d < s.again) {
		s.again = d
	}
}

// initContainers runs them one after the other; true when the others may start. A sidecar counts as soon as it has
// started.
func (s *starter) initContainers(ctx context.Context) bool {
	if s.begun() {
		s.sidecars(ctx)
		return true
	}
	for i := range s.pod.Spec.InitContainers {
		c := &s.pod.Spec.InitContainers[i]
		now := s.observed.current(c.Name)
		switch {
		case podspec.IsSidecar(c):
			s.container(ctx, c)
			if now = s.observed.current(c.Name); !now.running() || !s.probes.started(now.Id, c) {
				return false
			}
		case now.exited() && now.ExitCode == 0:
			delete(s.waiting, c.Name)
		case now.running():
			return false
		case now.exited() && !mustRun(s.pod, c, now) && s.pod.Spec.RestartPolicy == corev1.RestartPolicyNever:
			return false
		default:
			s.start(ctx, c)
			return false
		}
	}
	return true
}

// begun: an app container has been started in this sandbox, so that the pod has been initialized.
func (s *starter) begun() bool {
	for i := range s.pod.Spec.Containers {
		if s.observed.current(s.pod.Spec.Containers[i].Name) != nil {
			return true
		}
	}
	return false
}

func (s *starter) sidecars(ctx context.Context) {
	for i := range s.pod.Spec.InitContainers {
		if c := &s.pod.Spec.InitContainers[i]; podspec.IsSidecar(c) {
			s.container(ctx, c)
		}
	}
}

// container sees to it that one runs, if it should.
func (s *starter) container(ctx context.Context, c *corev1.Container) {
	now := s.observed.current(c.Name)
	if now.running() {
		why, ill := s.unhealthyOf(now.Id)
		if !ill {
			delete(s.waiting, c.Name)
			s.postStartAgain(ctx, c, now)
			return
		}
		if s.err = errors.Join(s.err, s.kill(ctx, s.pod, c, now, why)); ctx.Err() != nil {
			return
		}
		s.refresh(ctx)
		now = s.observed.current(c.Name)
	}
	if now.exited() && !mustRun(s.pod, c, now) {
		delete(s.waiting, c.Name)
		return
	}
	s.start(ctx, c)
}

func (s *starter) refresh(ctx context.Context) {
	o, err := s.node.observe(ctx, s.uid)
	if err != nil {
		s.err = errors.Join(s.err, err)
		return
	}
	s.observed = o
}

// start makes and starts a container, unless it has to wait for its back-off.
func (s *starter) start(ctx context.Context, c *corev1.Container) {
	if ctx.Err() != nil {
		return
	}
	last := s.observed.latest(c.Name)
	if s.observed.current(c.Name).exited() && s.backingOff(c, last) {
		return
	}
	why, err := s.run(ctx, c, last)
	switch {
	case ctx.Err() != nil:
	case err == nil:
		delete(s.waiting, c.Name)
		s.refresh(ctx)
	default:
		s.waiting[c.Name] = waitReason{why, err.Error()}
		s.refresh(ctx)
		s.later(retryAfter(why))
	}
}

// retryAfter is when to try again what has failed. Pulls wait for their own back-off.
func retryAfter(why string) time.Duration {
	switch why {
	case reasonImageBackOff, reasonImagePull:
		return 0
	case reasonRunContainer:
		return time.Second
	}
	return firstDelay
}

// backingOff waits after a crash, ever longer.
func (s *starter) backingOff(c *corev1.Container, last *instance) bool {
	now := time.Now()
	b := backOffOf(s.restarts, c.Name)
	left := b.left(time.Unix(0, last.FinishedAt), now)
	if left <= 0 {
		b.tried(now)
		return false
	}
	message := fmt.Sprintf("back-off %v restarting failed container=%s pod=%s_%s(%s)", b.delay, c.Name, s.pod.Name, s.pod.Namespace, s.uid)
	s.waiting[c.Name] = waitReason{"CrashLoopBackOff", message}
	s.node.events.pod(s.pod, c.Name, corev1.EventTypeWarning, "BackOff", "Back-off restarting failed container %s in pod %s_%s(%s)", c.Name, s.pod.Name, s.pod.Namespace, s.uid)
	s.later(left)
	return true
}

// Reasons of waiting, as kubectl users know them.
const (
	reasonConfig       = "CreateContainerConfigError"
	reasonCreate       = "CreateContainerError"
	reasonRunContainer = "RunContainerError"
)

// run makes a container and starts it; why names the step that failed.
func (s *starter) run(ctx context.Context, c *corev1.Container, last *instance) (why string, err error) {
	n := s.node
	image, why, err := s.image(ctx, c)
	if err != nil {
		return why, err
	}
	attempt := s.nextAttempt(c, last)
	if err := checkNonRoot(s.pod, c, image); err != nil {
		n.events.pod(s.pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: %v", err)
		return reasonConfig, err
	}
	images, why, err := s.volumeImages(ctx, c)
	if err != nil {
		return why, err
	}
	config, err := n.containerConfig(s.pod, c, image.Id, images, attempt, s.ips)
	if err == nil {
		err = os.MkdirAll(filepath.Join(n.logDir(s.pod), c.Name), 0o755)
	}
	if err != nil {
		n.events.pod(s.pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: %v", err)
		return reasonConfig, err
	}
	sandbox, err := n.sandboxConfig(s.pod, s.observed.sandbox.Metadata.GetAttempt())
	if err != nil {
		return reasonConfig, err
	}
	id, err := n.config.Runtime.CreateContainer(ctx, s.observed.sandbox.Id, config, sandbox)
	if err != nil {
		if ctx.Err() == nil {
			n.events.pod(s.pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: %v", err)
		}
		return reasonCreate, err
	}
	n.events.pod(s.pod, c.Name, corev1.EventTypeNormal, "Created", "Container created")
	if err := n.config.Runtime.StartContainer(ctx, id); err != nil {
		if ctx.Err() == nil {
			n.events.pod(s.pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: %v", err)
		}
		return reasonRunContainer, err
	}
	n.events.pod(s.pod, c.Name, corev1.EventTypeNormal, "Started", "Container started")
	s.postStart(ctx, c, id)
	return "", nil
}

// nextAttempt counts on from what the runtime knows, or the API, which remembers more after a reboot.
func (s *starter) nextAttempt(c *corev1.Container, last *instance) uint32 {
	if last != nil {
		return last.attempt() + 1
	}
	if status := statusOf(s.pod, c.Name); status != nil && status.ContainerID != "" {
		return uint32(status.RestartCount) + 1
	}
	return 0
}

// ephemeral starts debug containers; each runs once.
func (s *starter) ephemeral(ctx context.Context) {
	for i := range s.pod.Spec.EphemeralContainers {
		c := corev1.Container(s.pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		if s.observed.latest(c.Name) == nil && s.observed.sandbox != nil {
			s.start(ctx, &c)
		}
	}
}

// order is where a container stands among its pod's init containers, -1 for others.
func order(pod *corev1.Pod, name string) int {
	return slices.IndexFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == name })
}
