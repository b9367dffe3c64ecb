package scheduler

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/cache"

	"dhow/scheduler/placement"
)

// What changes may please.
const (
	// freedBy a pod that went.
	freedBy = placement.Resources | placement.Ports | placement.PodAffinity | placement.Spread | placement.Volumes
	// joinedBy a pod that came.
	joinedBy = placement.PodAffinity | placement.Spread
)

// handler is a registration to take back.
type handler struct {
	informer     cache.SharedIndexInformer
	registration cache.ResourceEventHandlerRegistration
}

// follow registers for all that decides where pods go.
func (s *Scheduler) follow() error {
	core, storage := s.config.Informers.Core().V1(), s.config.Informers.Storage().V1()
	volumesMoved := func(any) { s.moved(placement.Volumes) }
	for _, f := range []struct {
		informer cache.SharedIndexInformer
		set      func(obj any)
		gone     func(obj any)
	}{
		{core.Nodes().Informer(), func(o any) { s.setNode(o.(*corev1.Node)) }, func(o any) { s.dropNode(o.(*corev1.Node)) }},
		{core.Namespaces().Informer(), func(o any) { s.setNamespace(o.(*corev1.Namespace)) }, func(o any) { s.dropNamespace(o.(*corev1.Namespace)) }},
		{core.PersistentVolumes().Informer(), volumesMoved, volumesMoved},
		{core.PersistentVolumeClaims().Informer(), volumesMoved, volumesMoved},
		{storage.StorageClasses().Informer(), volumesMoved, volumesMoved},
	} {
		if err := s.handle(f.informer, cache.ResourceEventHandlerFuncs{
			AddFunc: f.set, UpdateFunc: func(_, obj any) { f.set(obj) }, DeleteFunc: func(obj any) { f.gone(last(obj)) },
		}); err != nil {
			return err
		}
	}
	return s.handle(core.Pods().Informer(), cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { s.setPod(obj.(*corev1.Pod), nil) },
		UpdateFunc: func(old, obj any) { s.setPod(obj.(*corev1.Pod), old.(*corev1.Pod)) },
		DeleteFunc: func(obj any) { s.dropPod(last(obj).(*corev1.Pod)) },
	})
}

func (s *Scheduler) handle(informer cache.SharedIndexInformer, h cache.ResourceEventHandler) error {
	registration, err := informer.AddEventHandler(h)
	if err != nil {
		return err
	}
	s.handlers = append(s.handlers, handler{informer, registration})
	return nil
}

// unfollow ends the registrations. An informer that has stopped refuses, and has none any more.
func (s *Scheduler) unfollow() {
	for _, h := range s.handlers {
		_ = h.informer.RemoveEventHandler(h.registration)
	}
}

// last is the last known state of a deleted object.
func last(obj any) any {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		return gone.Obj
	}
	return obj
}

// moved wakes pods that filters rejected.
func (s *Scheduler) moved(filters placement.Filter) {
	s.mu.Lock()
	s.queue.Moved(filters, time.Now())
	s.mu.Unlock()
	s.signal()
}

func (s *Scheduler) setPod(pod, old *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.signal()
	switch {
	case ended(pod):
		s.remove(pod)
	case pod.Spec.NodeName != "":
		s.setBound(pod, old)
	case pod.Spec.SchedulerName != s.config.Name:
	case pod.DeletionTimestamp != nil, len(pod.Spec.SchedulingGates) > 0:
		s.queue.Forget(pod.UID)
	case s.cluster.NodeOf(pod.UID) != "": // being bound
	default:
		s.enqueue(pod, old)
	}
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func (s *Scheduler) enqueue(pod, old *corev1.Pod) {
	p, ok := s.workOut(pod)
	if !ok {
		return
	}
	changed := old == nil || old.Generation != pod.Generation || !maps.Equal(old.Labels, pod.Labels) ||
		!equality.Semantic.DeepEqual(old.Spec, pod.Spec)
	s.queue.Add(p, changed, time.Now())
}

// workOut says why a pod cannot be understood.
func (s *Scheduler) workOut(pod *corev1.Pod) (*placement.Pod, bool) {
	p, err := placement.NewPod(pod)
	if err != nil {
		s.log.Error("pod cannot be scheduled", "pod", pod.Namespace+"/"+pod.Name, "err", err)
		s.reporter.failed(pod, corev1.PodReasonSchedulerError, err.Error())
		return nil, false
	}
	return p, true
}

// setBound counts a pod on its node.
func (s *Scheduler) setBound(pod, old *corev1.Pod) {
	s.queue.Forget(pod.UID)
	p, ok := s.workOut(pod)
	if !ok {
		return
	}
	fresh := s.cluster.NodeOf(pod.UID) == ""
	s.cluster.Put(p, pod.Spec.NodeName)
	var moved placement.Filter
	switch {
	case fresh, old == nil:
		moved = joinedBy
	case !maps.Equal(old.Labels, pod.Labels), (old.DeletionTimestamp == nil) != (pod.DeletionTimestamp == nil):
		moved = joinedBy
	}
	if old != nil && old.Spec.NodeName != "" && old.Generation != pod.Generation {
		moved |= placement.Resources // it may have been made smaller
	}
	if moved != 0 {
		s.queue.Moved(moved, time.Now())
	}
}

func (s *Scheduler) dropPod(pod *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(pod)
	s.signal()
}

// remove forgets a pod. The caller holds mu.
func (s *Scheduler) remove(pod *corev1.Pod) {
	s.queue.Forget(pod.UID)
	if s.cluster.NodeOf(pod.UID) == "" {
		return
	}
	s.cluster.Remove(pod.UID)
	s.queue.Moved(freedBy, time.Now())
}

func (s *Scheduler) setNode(node *corev1.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.cluster.Node(node.Name)
	moved := better(old, node)
	if moved == 0 && old != nil && slices.EqualFunc(old.Status.Images, node.Status.Images, sameImage) {
		return // a sign of life
	}
	s.cluster.SetNode(node)
	if moved != 0 {
		s.queue.Moved(moved, time.Now())
		s.signal()
	}
}

// better says which filters may think otherwise of a node that changed.
func better(old, node *corev1.Node) placement.Filter {
	if old == nil {
		return placement.Every
	}
	var moved placement.Filter
	if !equality.Semantic.DeepEqual(old.Status.Allocatable, node.Status.Allocatable) {
		moved |= placement.Resources
	}
	if !maps.Equal(old.Labels, node.Labels) {
		moved |= placement.NodeAffinity | placement.PodAffinity | placement.Spread | placement.Volumes
	}
	if !equality.Semantic.DeepEqual(old.Spec.Taints, node.Spec.Taints) {
		moved |= placement.Taints | placement.Spread
	}
	if old.Spec.Unschedulable != node.Spec.Unschedulable {
		moved |= placement.Unschedulable | placement.Taints
	}
	return moved
}

func sameImage(a, b corev1.ContainerImage) bool {
	return a.SizeBytes == b.SizeBytes && slices.Equal(a.Names, b.Names)
}

func (s *Scheduler) dropNode(node *corev1.Node) {
	s.mu.Lock()
	s.cluster.RemoveNode(node.Name)
	s.mu.Unlock()
	s.moved(joinedBy) // the remaining domains may be even now
}

func (s *Scheduler) setNamespace(ns *corev1.Namespace) {
	s.mu.Lock()
	s.cluster.SetNamespace(ns.Name, ns.Labels)
	s.mu.Unlock()
	s.moved(placement.PodAffinity)
}

func (s *Scheduler) dropNamespace(ns *corev1.Namespace) {
	s.mu.Lock()
	s.cluster.RemoveNamespace(ns.Name)
	s.mu.Unlock()
}

// Waiting counts the pods that can be tried, that wait out a back-off, and that wait for a change.
func (s *Scheduler) Waiting() (active, backoff, parked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue.Len()
}
