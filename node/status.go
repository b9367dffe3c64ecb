package node

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"dhow/api/podspec"
)

// writeTimeout bounds one write to the API.
const writeTimeout = 30 * time.Second

// writing is for writes to the API: one that has begun is not cut short by what happens to the pod.
func writing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
}

// report writes how the pod is, if that is news.
func (w *worker) report(ctx context.Context, pod *corev1.Pod, o *observed) error {
	ctx, cancel := writing(ctx)
	defer cancel()
	for {
		status := w.status(ctx, pod, o)
		known := &pod.Status
		if w.reported != nil && w.reportedOver == pod.ResourceVersion {
			known = w.reported // the pod is older than what was last written
		}
		if apiequality.Semantic.DeepEqual(status, known) {
			return nil
		}
		written, err := w.write(ctx, pod, status)
		if apierrors.IsConflict(err) {
			if pod, err = w.latest(ctx, pod); err == nil {
				continue
			}
		}
		if err != nil {
			return err
		}
		w.reported, w.reportedOver = &written.Status, pod.ResourceVersion
		return nil
	}
}

func (w *worker) write(ctx context.Context, pod *corev1.Pod, status *corev1.PodStatus) (*corev1.Pod, error) {
	if w.static {
		return w.writeMirror(ctx, pod, status)
	}
	next := *pod // the parts of it stay as they are
	next.Status = *status
	return w.node.config.Client.CoreV1().Pods(pod.Namespace).UpdateStatus(ctx, &next, metav1.UpdateOptions{})
}

// latest is the pod as the API has it now. Another pod of its name is as good as none.
func (w *worker) latest(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	now, err := w.node.config.Client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if apierrors.IsForbidden(err) || err == nil && now.UID != pod.UID { // a node is told of its own pods only
		return nil, apierrors.NewNotFound(corev1.Resource("pods"), pod.Name)
	}
	return now, err
}

// status is the pod's, from its specification, what the runtime has of it, and what the worker knows.
func (w *worker) status(ctx context.Context, pod *corev1.Pod, o *observed) *corev1.PodStatus {
	s := pod.Status.DeepCopy()
	if w.static && w.reported != nil {
		s = w.reported.DeepCopy() // nothing else keeps it
	}
	s.ObservedGeneration = pod.Generation
	if s.StartTime == nil {
		now := metav1.Now().Rfc3339Copy()
		s.StartTime = &now
	}
	w.addresses(pod, o, s)
	s.InitContainerStatuses, s.ContainerStatuses, s.EphemeralContainerStatuses = nil, nil, nil
	initialized := w.initialized(pod, o)
	for i := range pod.Spec.InitContainers {
		s.InitContainerStatuses = append(s.InitContainerStatuses, w.containerStatus(ctx, pod, &pod.Spec.InitContainers[i], o, true))
	}
	for i := range pod.Spec.Containers {
		s.ContainerStatuses = append(s.ContainerStatuses, w.containerStatus(ctx, pod, &pod.Spec.Containers[i], o, initialized))
	}
	for i := range pod.Spec.EphemeralContainers {
		c := corev1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		s.EphemeralContainerStatuses = append(s.EphemeralContainerStatuses, w.containerStatus(ctx, pod, &c, o, true))
	}
	if !hasEnded(pod) {
		s.Phase = phaseOf(pod, o)
	}
	if w.failure != nil {
		s.Phase, s.Reason, s.Message = corev1.PodFailed, w.failure.reason, w.failure.message
	}
	if pod.DeletionTimestamp != nil && len(o.anyRunning()) == 0 && s.Phase != corev1.PodSucceeded {
		s.Phase = phaseAtEnd(s)
	}
	s.QOSClass = qosOf(pod)
	w.conditions(pod, o, s, initialized)
	return s
}

// phaseAtEnd is a deleted pod's last phase: it has succeeded if all its containers have.
func phaseAtEnd(s *corev1.PodStatus) corev1.PodPhase {
	for _, c := range s.ContainerStatuses {
		if c.State.Terminated == nil || c.State.Terminated.ExitCode != 0 {
			return corev1.PodFailed
		}
	}
	return corev1.PodSucceeded
}

func (w *worker) addresses(pod *corev1.Pod, o *observed, s *corev1.PodStatus) {
	n := w.node
	s.HostIP, s.HostIPs = n.config.NodeIPs[0].String(), nil
	for _, ip := range n.hostIPs() {
		s.HostIPs = append(s.HostIPs, corev1.HostIP{IP: ip})
	}
	ips := n.ips(pod, o)
	if len(ips) == 0 || o.sandbox == nil {
		return
	}
	s.PodIP, s.PodIPs = ips[0], nil
	for _, ip := range ips {
		s.PodIPs = append(s.PodIPs, corev1.PodIP{IP: ip})
	}
}

// initialized: all init containers are done, or run beside the others.
func (w *worker) initialized(pod *corev1.Pod, o *observed) bool {
	if (&starter{pod: pod, observed: o}).begun() {
		return true
	}
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		now := o.current(c.Name)
		switch {
		case podspec.IsSidecar(c) && now.running() && w.probes.started(now.Id, c):
		case !podspec.IsSidecar(c) && now.exited() && now.ExitCode == 0:
		default:
			return hasEnded(pod) && pod.Status.Phase == corev1.PodSucceeded
		}
	}
	return true
}

func containerID(id string) string { return "dhow://" + id }

// statusOf is what the API has of a container of the pod.
func statusOf(pod *corev1.Pod, name string) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses, pod.Status.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// containerStatus is one container's. mayStart is false while init containers have to be done first.
func (w *worker) containerStatus(ctx context.Context, pod *corev1.Pod, c *corev1.Container, o *observed, mayStart bool) corev1.ContainerStatus {
	last, before := o.latest(c.Name), statusOf(pod, c.Name)
	if last == nil && before != nil && (hasEnded(pod) || w.failure != nil) {
		return *before // the machine has forgotten, the API has not
	}
	s := corev1.ContainerStatus{Name: c.Name, Image: c.Image}
	started := false
	if last == nil {
		s.State.Waiting = w.waitingState(pod, c, mayStart)
		if before != nil {
			s.RestartCount, s.LastTerminationState = before.RestartCount, before.LastTerminationState
		}
		s.Started = &started
		return s
	}
	s.ContainerID, s.ImageID, s.RestartCount = containerID(last.Id), w.imageRef(ctx, last.ImageId), int32(last.attempt())
	if previous := o.previous(c.Name); previous.exited() {
		s.LastTerminationState.Terminated = w.terminated(pod, c, previous)
	}
	switch {
	case last.running():
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: timeOf(last.StartedAt)}
		started = w.probes.started(last.Id, c) && w.hookDone(c, last)
		s.Ready = started && w.probes.ready(last.Id, c) && (order(pod, c.Name) < 0 || podspec.IsSidecar(c))
		s.AllocatedResources, s.Resources = c.Resources.Requests, &c.Resources
	case last.exited():
		w.exitedStatus(pod, c, o, last, &s)
	default:
		s.State.Waiting = w.waitingState(pod, c, mayStart)
	}
	if last.State != cri.ContainerState_CONTAINER_CREATED {
		s.VolumeMounts = w.mountStatuses(ctx, pod, c, last)
		s.User = userOf(last)
	}
	s.Started = &started
	return s
}

// hookDone: until its postStart hook has run, a container has not started.
func (w *worker) hookDone(c *corev1.Container, i *instance) bool {
	_, ill := w.unhealthyOf(i.Id)
	return c.Lifecycle == nil || c.Lifecycle.PostStart == nil || !ill
}

// exitedStatus: a container that will run again waits, and its end is its last state.
func (w *worker) exitedStatus(pod *corev1.Pod, c *corev1.Container, o *observed, last *instance, s *corev1.ContainerStatus) {
	end := w.terminated(pod, c, last)
	if why, waits := w.waiting[c.Name]; waits && pod.DeletionTimestamp == nil && w.failure == nil && !hasEnded(pod) {
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: why.reason, Message: why.message}
		s.LastTerminationState.Terminated = end
		return
	}
	s.State.Terminated = end
	s.Ready = order(pod, c.Name) >= 0 && !podspec.IsSidecar(c) && last.ExitCode == 0
}

func (w *worker) waitingState(pod *corev1.Pod, c *corev1.Container, mayStart bool) *corev1.ContainerStateWaiting {
	if why, ok := w.waiting[c.Name]; ok {
		return &corev1.ContainerStateWaiting{Reason: why.reason, Message: why.message}
	}
	if !mayStart || order(pod, c.Name) > 0 {
		return &corev1.ContainerStateWaiting{Reason: "PodInitializing"}
	}
	if len(pod.Spec.InitContainers) > 0 && order(pod, c.Name) < 0 {
		return &corev1.ContainerStateWaiting{Reason: "PodInitializing"}
	}
	return &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
}

func timeOf(nanoseconds int64) metav1.Time {
	return metav1.NewTime(time.Unix(0, nanoseconds)).Rfc3339Copy()
}

func (w *worker) terminated(pod *corev1.Pod, c *corev1.Container, i *instance) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{
		ExitCode: i.ExitCode, Reason: i.Reason, Message: w.endMessage(pod, c, i), ContainerID: containerID(i.Id),
		StartedAt: timeOf(i.StartedAt), FinishedAt: timeOf(i.FinishedAt),
	}
}

func userOf(i *instance) *corev1.ContainerUser {
	u := i.User.GetLinux()
	if u == nil {
		return nil
	}
	return &corev1.ContainerUser{Linux: &corev1.LinuxContainerUser{UID: u.Uid, GID: u.Gid, SupplementalGroups: u.SupplementalGroups}}
}
