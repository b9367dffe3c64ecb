// Package scheduler puts pods onto nodes: it follows pods and nodes, asks placement which node is best for the pod
// that the queue says is next, and binds it. It is not the node agent, which runs what was bound.
package scheduler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"dhow/scheduler/placement"
	"dhow/scheduler/queue"
)

// Config is what a scheduler needs.
type Config struct {
	// Client acts as system:kube-scheduler.
	Client kubernetes.Interface
	// Informers are shared and started by the caller, after New.
	Informers informers.SharedInformerFactory
	// Name is the schedulerName of the pods that it takes care of, "default-scheduler" by default.
	Name string
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// Scheduler places and binds pods.
//
//	informers ──▶ queue, cluster ──▶ loop: decide, assume ──▶ binders: bind
//	                   ▲                      │ no node              │ refused
//	                   └──────────────────────┴──────────────────────┘
type Scheduler struct {
	config   Config
	log      *slog.Logger
	families families
	volumes  volumes
	handlers []handler
	reporter *reporter

	wake    chan struct{} // has one when the queue may have changed
	decided chan decision // to the binders
	ready   chan struct{} // closed once the loop runs

	mu      sync.Mutex // guards what follows
	cluster *placement.Cluster
	queue   *queue.Queue
}

// decision is a pod that was assumed onto a node and is to be bound.
type decision struct {
	item *queue.Item
	node string
}

// binders is how many bindings are under way at once.
const binders = 64

// New makes a scheduler and registers its informers.
func New(c Config) (*Scheduler, error) {
	if c.Client == nil || c.Informers == nil {
		return nil, errors.New("scheduler: Client and Informers must be set")
	}
	c.Name = cmp.Or(c.Name, corev1.DefaultSchedulerName)
	if c.Log == nil {
		c.Log = slog.Default()
	}
	s := &Scheduler{
		config: c, log: c.Log,
		families: newFamilies(c.Informers), volumes: newVolumes(c.Informers), reporter: newReporter(c.Client, c.Name, c.Log),
		wake: make(chan struct{}, 1), decided: make(chan decision, 4*binders), ready: make(chan struct{}),
		cluster: placement.NewCluster(), queue: queue.New(),
	}
	if err := s.follow(); err != nil {
		return nil, fmt.Errorf("scheduler: %w", err)
	}
	return s, nil
}

// Ready blocks until pods are being scheduled.
func (s *Scheduler) Ready(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Run schedules pods until ctx ends.
func (s *Scheduler) Run(ctx context.Context) error {
	defer s.unfollow()
	synced := make([]cache.DoneChecker, 0, len(s.handlers))
	for _, h := range s.handlers {
		synced = append(synced, h.registration.HasSyncedChecker())
	}
	if !cache.WaitFor(ctx, "", append(synced, s.families.synced()...)...) {
		return nil
	}
	var running sync.WaitGroup
	for range binders {
		running.Go(func() { s.bindAll(ctx) })
	}
	running.Go(func() { s.reporter.run(ctx) })
	close(s.ready)
	s.loop(ctx)
	running.Wait()
	return nil
}

// loop decides on one pod after the other.
func (s *Scheduler) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		d, wait, some := s.decide()
		if d != nil {
			select {
			case s.decided <- *d:
			case <-ctx.Done():
			}
			continue
		}
		if some && wait == 0 {
			continue
		}
		if !some {
			wait = queue.Patience
		}
		timer.Reset(wait)
		select {
		case <-s.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// decide takes the next pod and assumes it onto the best node, so that the next decision counts with it. Without a
// pod, or without a node for it, it says when to try again.
func (s *Scheduler) decide() (d *decision, wait time.Duration, some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	item := s.queue.Take(now)
	if item == nil {
		wait, some = s.queue.Next(now)
		return nil, wait, some
	}
	pod := item.Pod
	pod.Family = s.families.of(pod.Object)
	node, err := s.place(pod)
	if err == nil {
		s.cluster.Put(pod, node)
		return &decision{item, node}, 0, true
	}
	s.reject(item, err, now)
	return nil, 0, true
}

func (s *Scheduler) place(pod *placement.Pod) (string, error) {
	if err := s.volumes.resolve(pod, s.cluster.Size()); err != nil {
		return "", err
	}
	return s.cluster.Place(pod)
}

// reject parks a pod that no node fits, and says so. The caller holds mu.
func (s *Scheduler) reject(item *queue.Item, err error, now time.Time) {
	by, reason := placement.Every, corev1.PodReasonSchedulerError
	if unfit := (*placement.Unfit)(nil); errors.As(err, &unfit) {
		by, reason = unfit.By, corev1.PodReasonUnschedulable
	}
	s.queue.Park(item, by, now)
	s.reporter.failed(item.Pod.Object, reason, err.Error())
}

// signal lets the loop look at the queue.
func (s *Scheduler) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
