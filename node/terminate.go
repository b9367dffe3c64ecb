package node

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dhow/api/podspec"
)

// terminate ends a pod that is being deleted, within what is left of its grace, and then lets the API forget it.
func (w *worker) terminate(ctx context.Context, pod *corev1.Pod) error {
	w.probes.only(readinessProbe)
	o, err := w.node.observe(ctx, w.uid)
	if err != nil {
		return err
	}
	if len(o.anyRunning()) > 0 {
		w.waiting = map[string]waitReason{}
		if err := w.report(ctx, pod, o); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
		if err := w.stopAll(ctx, pod, o, max(0, time.Until(pod.DeletionTimestamp.Time))); err != nil {
			return err
		}
	}
	if err := w.finish(ctx, pod, o); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return w.deleteFromAPI(ctx, pod)
}

// stopAll ends the app containers together, then the sidecars, the last one first.
func (w *worker) stopAll(ctx context.Context, pod *corev1.Pod, o *observed, grace time.Duration) error {
	deadline := time.Now().Add(grace)
	var apps, sidecars []*instance
	for _, i := range o.anyRunning() {
		if place := order(pod, i.Labels[labelContainerName]); place >= 0 && podspec.IsSidecar(&pod.Spec.InitContainers[place]) {
			sidecars = append(sidecars, i)
		} else {
			apps = append(apps, i)
		}
	}
	slices.SortFunc(sidecars, func(a, b *instance) int {
		return order(pod, b.Labels[labelContainerName]) - order(pod, a.Labels[labelContainerName])
	})
	err := w.stopTogether(ctx, pod, apps, deadline)
	for _, i := range sidecars {
		err = errors.Join(err, w.stopTogether(ctx, pod, []*instance{i}, deadline))
	}
	return err
}

func (w *worker) stopTogether(ctx context.Context, pod *corev1.Pod, all []*instance, deadline time.Time) error {
	errs := make([]error, len(all))
	var wait sync.WaitGroup
	for at, i := range all {
		c := findContainer(pod, i.Labels[labelContainerName])
		if !w.stopping[i.Id] {
			w.node.events.pod(pod, i.Labels[labelContainerName], corev1.EventTypeNormal, "Killing", "Stopping container %s", i.Labels[labelContainerName])
		}
		wait.Go(func() { errs[at] = w.stop(ctx, pod, c, i, max(0, time.Until(deadline))) })
	}
	wait.Wait()
	for _, i := range all {
		w.stopping[i.Id] = true
	}
	return errors.Join(errs...)
}

// finish ends what still runs of a pod, gives back its sandbox and volumes, and reports how it ended. Its containers'
// records and logs stay until it is deleted.
func (w *worker) finish(ctx context.Context, pod *corev1.Pod, o *observed) error {
	n := w.node
	w.probes.stop()
	if len(o.anyRunning()) > 0 {
		grace := 30 * time.Second
		if pod.Spec.TerminationGracePeriodSeconds != nil {
			grace = time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second
		}
		if pod.DeletionTimestamp != nil {
			grace = max(0, time.Until(pod.DeletionTimestamp.Time))
		}
		if err := w.stopAll(ctx, pod, o, grace); err != nil {
			return err
		}
	}
	if err := w.stopSandboxes(ctx, o); err != nil {
		return err
	}
	o, err := n.observe(ctx, w.uid)
	if err != nil {
		return err
	}
	w.waiting = map[string]waitReason{}
	if err := w.report(ctx, pod, o); err != nil {
		return err
	}
	if err := n.tearDownVolumes(n.podDir(pod)); err != nil {
		return err
	}
	w.finished = true
	return nil
}

func (w *worker) stopSandboxes(ctx context.Context, o *observed) error {
	ids := o.others
	if o.sandbox != nil {
		ids = append(ids[:len(ids):len(ids)], o.sandbox.Id)
	}
	for _, id := range ids {
		if err := w.node.config.Runtime.StopPodSandbox(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// deleteFromAPI has the API forget this pod, not another of its name.
func (w *worker) deleteFromAPI(ctx context.Context, pod *corev1.Pod) error {
	if w.static {
		return w.endMirror(ctx, pod)
	}
	ctx, cancel := writing(ctx)
	defer cancel()
	now := int64(0)
	err := w.node.config.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &w.uid},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		w.remove()
		return nil
	}
	return err
}

// purge removes what is left on this machine of a pod that the API has no more.
func (w *worker) purge(ctx context.Context, pod *corev1.Pod) error {
	w.probes.stop()
	n := w.node
	o, err := n.observe(ctx, w.uid)
	if err != nil {
		return err
	}
	ids := o.others
	if o.sandbox != nil {
		ids = append(ids, o.sandbox.Id)
	}
	for _, id := range ids {
		if err := n.config.Runtime.RemovePodSandbox(ctx, id); err != nil {
			return err
		}
	}
	n.tokens.forget(w.uid)
	return errors.Join(n.tearDownVolumes(n.podDir(pod)), os.RemoveAll(n.logDir(pod)))
}
