package node

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// leastGrace is left to a container to end by itself, however long its preStop hook took.
const leastGrace = 2 * time.Second

// kill ends one container that is to be started again.
func (w *worker) kill(ctx context.Context, pod *corev1.Pod, c *corev1.Container, i *instance, why string) error {
	grace := 30 * time.Second
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		grace = time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second
	}
	if own := probeGrace(c, why); own != nil {
		grace = time.Duration(*own) * time.Second
	}
	w.node.events.pod(pod, c.Name, corev1.EventTypeNormal, "Killing", "Container %s %s, will be restarted", c.Name, killWords(why))
	err := w.stop(ctx, pod, c, i, grace)
	if err == nil {
		w.forgetUnhealthy(i.Id)
	}
	return err
}

func killWords(why string) string {
	switch why {
	case livenessProbe, startupProbe:
		return fmt.Sprintf("failed %s probe", why)
	}
	return "failed its postStart hook"
}

// probeGrace is a probe's own termination grace period.
func probeGrace(c *corev1.Container, why string) *int64 {
	switch {
	case why == livenessProbe && c.LivenessProbe != nil:
		return c.LivenessProbe.TerminationGracePeriodSeconds
	case why == startupProbe && c.StartupProbe != nil:
		return c.StartupProbe.TerminationGracePeriodSeconds
	}
	return nil
}

// stop runs the preStop hook and ends the container, both within its grace.
func (w *worker) stop(ctx context.Context, pod *corev1.Pod, c *corev1.Container, i *instance, grace time.Duration) error {
	begin := time.Now()
	if c != nil && c.Lifecycle != nil && c.Lifecycle.PreStop != nil && grace > 0 {
		w.preStop(ctx, pod, c, i, grace)
		grace = max(leastGrace, grace-time.Since(begin))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return w.node.config.Runtime.StopContainer(ctx, i.Id, grace)
}

func (w *worker) preStop(ctx context.Context, pod *corev1.Pod, c *corev1.Container, i *instance, grace time.Duration) {
	if w.stopping[i.Id] {
		return // it has run; a shorter grace has been set meanwhile
	}
	within, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	err := w.hook(within, pod, c, i.Id, c.Lifecycle.PreStop, podIPs(pod))
	if err != nil && ctx.Err() == nil {
		w.node.events.pod(pod, c.Name, corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed: %v", err)
	}
}

func podIPs(pod *corev1.Pod) []string {
	var ips []string
	for _, ip := range pod.Status.PodIPs {
		ips = append(ips, ip.IP)
	}
	return ips
}

// unhealthyOf says whether a container is to be ended, and why. Probes write what workers read.
func (w *worker) unhealthyOf(id string) (why string, ill bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	why, ill = w.unhealthy[id]
	return why, ill
}

func (w *worker) setUnhealthy(id, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unhealthy[id] = why
}

func (w *worker) forgetUnhealthy(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.unhealthy, id)
}
