package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"dhow/api/podspec"
)

// sync starts what should run and does not, ends what should not run and does, and reports how the pod is. again
// asks for another pass after a while.
func (w *worker) sync(ctx context.Context, pod *corev1.Pod) (again time.Duration, err error) {
	n := w.node
	if w.finished {
		return 0, nil
	}
	o, err := n.observe(ctx, w.uid)
	if err != nil {
		return 0, err
	}
	again = w.checkDeadline(pod)
	if w.failure == nil && o.sandbox == nil && !hasEnded(pod) {
		w.refuse(pod)
	}
	if w.failure != nil || hasEnded(pod) || w.ended(pod, o) {
		return 0, w.finish(ctx, pod, o)
	}
	if err := w.removeOld(ctx, o); err != nil {
		return 0, err
	}
	again, err = w.advance(ctx, pod, o, again)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	o, failed := n.observe(ctx, w.uid)
	if failed != nil {
		return 0, failed
	}
	w.probes.follow(ctx, pod, o)
	if w.ended(pod, o) {
		return 0, errors.Join(err, w.finish(ctx, pod, o))
	}
	return again, errors.Join(err, w.report(ctx, pod, o))
}

// hasEnded: the API has it that the pod is over.
func hasEnded(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// ended: no container of the pod runs or will run again.
func (w *worker) ended(pod *corev1.Pod, o *observed) bool {
	phase := phaseOf(pod, o)
	return phase == corev1.PodSucceeded || phase == corev1.PodFailed
}

// checkDeadline fails a pod that has been active for too long, or says when it will have been.
func (w *worker) checkDeadline(pod *corev1.Pod) time.Duration {
	if pod.Spec.ActiveDeadlineSeconds == nil || pod.Status.StartTime == nil || hasEnded(pod) {
		return 0
	}
	left := time.Until(pod.Status.StartTime.Add(time.Duration(*pod.Spec.ActiveDeadlineSeconds) * time.Second))
	if left > 0 {
		return left
	}
	if w.failure == nil {
		message := "Pod was active on the node longer than the specified deadline"
		w.failure = &podFailure{"DeadlineExceeded", message}
		w.node.events.pod(pod, "", corev1.EventTypeNormal, "DeadlineExceeded", "%s", message)
	}
	return 0
}

// refuse fails a pod that the runtime cannot run as it asks to be run.
func (w *worker) refuse(pod *corev1.Pod) {
	if why := w.node.features.refused(pod); why != nil {
		w.failure = why
		w.node.events.pod(pod, "", corev1.EventTypeWarning, why.reason, "%s", why.message)
	}
}

// removeOld forgets sandboxes that a new one has replaced, and all but the last two starts of a container.
func (w *worker) removeOld(ctx context.Context, o *observed) error {
	runtime := w.node.config.Runtime
	for _, id := range o.others {
		if err := runtime.StopPodSandbox(ctx, id); err != nil {
			return err
		}
	}
	for _, list := range o.containers {
		for _, old := range list[min(2, len(list)):] {
			if err := runtime.RemoveContainer(ctx, old.Id); err != nil {
				return err
			}
		}
	}
	return nil
}

// advance takes the pod one step on: its sandbox, its init containers in their order, then all others.
func (w *worker) advance(ctx context.Context, pod *corev1.Pod, o *observed, again time.Duration) (time.Duration, error) {
	ips, err := w.prepare(ctx, pod, o)
	if err != nil {
		return again, err
	}
	s := &starter{worker: w, pod: pod, observed: o, ips: ips, fresh: map[string]bool{}, again: again}
	if initialized := s.initContainers(ctx); initialized {
		for i := range pod.Spec.Containers {
			s.container(ctx, &pod.Spec.Containers[i])
		}
	}
	s.ephemeral(ctx)
	return s.again, s.err
}

// prepare makes the pod's volumes and sandbox, if they are not there, and returns its addresses.
func (w *worker) prepare(ctx context.Context, pod *corev1.Pod, o *observed) ([]string, error) {
	n := w.node
	if o.ready() {
		ips := n.ips(pod, o)
		if err := n.setUpVolumes(ctx, pod, ips); err != nil {
			n.log.Debug("files of volumes could not be brought up to date", "pod", w.name(), "err", err)
		}
		return ips, nil
	}
	for _, i := range o.anyRunning() { // their sandbox has died
		if err := n.config.Runtime.StopContainer(ctx, i.Id, 0); err != nil {
			return nil, err
		}
	}
	if err := w.startSandbox(ctx, pod, o); err != nil {
		return nil, err
	}
	return n.ips(pod, o), nil
}

func (w *worker) startSandbox(ctx context.Context, pod *corev1.Pod, o *observed) error {
	n := w.node
	if err := n.setUpVolumes(ctx, pod, n.ips(pod, o)); err != nil {
		if ctx.Err() == nil {
			n.events.pod(pod, "", corev1.EventTypeWarning, "FailedMount", "%v", err)
		}
		return err
	}
	attempt := uint32(0)
	if o.sandbox != nil {
		attempt = o.sandbox.Metadata.GetAttempt() + 1
		n.events.pod(pod, "", corev1.EventTypeNormal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
		if err := n.config.Runtime.StopPodSandbox(ctx, o.sandbox.Id); err != nil {
			return err
		}
	}
	config, err := n.sandboxConfig(pod, attempt)
	if err != nil {
		return err
	}
	handler, err := n.handler(pod)
	if err == nil {
		err = n.features.checkUsers(pod, handler)
	}
	if err != nil {
		return err
	}
	id, err := n.config.Runtime.RunPodSandbox(ctx, config, handler)
	if err != nil {
		if ctx.Err() == nil {
			n.events.pod(pod, "", corev1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: %v", err)
		}
		return fmt.Errorf("create sandbox: %w", err)
	}
	o.sandbox, err = n.config.Runtime.PodSandboxStatus(ctx, id)
	return err
}

// handler is the runtime class' name for what runs the pod.
func (n *Node) handler(pod *corev1.Pod) (string, error) {
	if pod.Spec.RuntimeClassName == nil || *pod.Spec.RuntimeClassName == "" {
		return "", nil
	}
	class, err := n.classes.Get(*pod.Spec.RuntimeClassName)
	if err != nil {
		return "", fmt.Errorf("RuntimeClass %q not found", *pod.Spec.RuntimeClassName)
	}
	return class.Handler, nil
}

// mustRun says whether a container that has exited is to be started again.
func mustRun(pod *corev1.Pod, c *corev1.Container, i *instance) bool {
	return podspec.ShouldRestart(c, pod.Spec.RestartPolicy, i.ExitCode)
}
