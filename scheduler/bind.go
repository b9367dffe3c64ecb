package scheduler

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/scheduler/placement"
)

// bindTimeout bounds one binding.
const bindTimeout = 30 * time.Second

// bindAll binds what the loop decides until ctx ends.
func (s *Scheduler) bindAll(ctx context.Context) {
	for {
		select {
		case d := <-s.decided:
			s.bind(ctx, d)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Scheduler) bind(ctx context.Context, d decision) {
	pod := d.item.Pod.Object
	ctx, cancel := context.WithTimeout(ctx, bindTimeout)
	defer cancel()
	waits, err := s.volumes.claim(ctx, s.config.Client, pod, d.node)
	if err == nil && !waits {
		err = s.config.Client.CoreV1().Pods(pod.Namespace).Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
			Target:     corev1.ObjectReference{Kind: "Node", Name: d.node},
		}, metav1.CreateOptions{})
	}
	switch {
	case err != nil:
		s.unassume(d, err)
	case waits:
		s.unassume(d, nil)
	default:
		s.mu.Lock()
		s.queue.Forget(pod.UID)
		s.mu.Unlock()
		s.reporter.scheduled(pod, d.node)
		s.log.Debug("pod bound", "pod", pod.Namespace+"/"+pod.Name, "node", d.node, "tries", d.item.Tries)
	}
}

// unassume takes back a decision that could not be carried out: binding failed, or (nil) volumes are to be made
// first.
func (s *Scheduler) unassume(d decision, err error) {
	pod := d.item.Pod.Object
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.signal()
	now := time.Now()
	latest, lookup := s.config.Informers.Core().V1().Pods().Lister().Pods(pod.Namespace).Get(pod.Name)
	gone := apierrors.IsNotFound(lookup) || (lookup == nil && latest.UID != pod.UID)
	if !gone && lookup == nil && latest.Spec.NodeName != "" {
		s.queue.Forget(pod.UID) // it was bound all the same, or by another: its event says where
		return
	}
	s.cluster.Remove(pod.UID)
	s.queue.Moved(freedBy, now)
	if gone || apierrors.IsNotFound(err) {
		s.queue.Forget(pod.UID)
		return
	}
	if err == nil {
		s.queue.Park(d.item, placement.Volumes, now)
		return
	}
	s.queue.Retry(d.item, now)
	s.log.Warn("binding failed", "pod", pod.Namespace+"/"+pod.Name, "node", d.node, "err", err)
	s.reporter.failed(pod, corev1.PodReasonSchedulerError, "binding rejected: "+err.Error())
}
