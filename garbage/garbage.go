// Package garbage deletes objects whose owners are gone, and holds back or frees the dependants of owners that are
// deleted in the foreground or leave orphans. It knows no kind: what is served and can be deleted is watched.
package garbage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/workqueue"

	"dhow/controller"
)

// Access is what the collector may do, for controller.Roles; it runs by itself.
func Access() controller.Controller {
	return controller.Controller{
		Name: "generic-garbage-collector",
		Writes: []controller.Write{
			{Group: "*", Resources: []string{"*"}, Verbs: []string{"get", "list", "watch", "patch", "update", "delete"}},
		},
	}
}

// Config of a Collector.
type Config struct {
	// Client and Metadata act as controller.User(Access().Name).
	Client   kubernetes.Interface
	Metadata metadata.Interface
	// Informers, if set, watch the kinds they know without copies; other kinds are watched by Metadata. They are
	// started as kinds are found.
	Informers informers.SharedInformerFactory
	// Workers look at objects in parallel, 8 if zero.
	Workers int
	// Rediscover is how often kinds are looked for when nothing tells of a change, 5 minutes if zero.
	Rediscover time.Duration
	// Now is the clock, time.Now if nil.
	Now func() time.Time
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// Collector is the garbage collector.
type Collector struct {
	live      live
	discovery discovery.DiscoveryInterface
	events    corev1client.EventsGetter
	shared    informers.SharedInformerFactory
	workers   int
	period    time.Duration
	now       func() time.Time
	log       *slog.Logger

	graph    *graph
	kinds    kinds
	absent   absentees
	queue    workqueue.TypedRateLimitingInterface[types.UID]
	changed  chan struct{}
	monitors monitors
	running  sync.WaitGroup
	ready    chan struct{}
}

// Back-off of an object that could not be dealt with.
const firstDelay, mostDelay = 5 * time.Millisecond, 5 * time.Minute

// New makes a collector; it watches nothing until Run.
func New(c Config) (*Collector, error) {
	if c.Client == nil || c.Metadata == nil {
		return nil, errors.New("garbage collector: Client and Metadata must be set")
	}
	if c.Workers == 0 {
		c.Workers = 8
	}
	if c.Rediscover == 0 {
		c.Rediscover = 5 * time.Minute
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Collector{
		live: live{c.Metadata}, discovery: c.Client.Discovery(), events: c.Client.CoreV1(), shared: c.Informers,
		workers: c.Workers, period: c.Rediscover, now: c.Now, log: c.Log,
		graph:   newGraph(),
		queue:   workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](firstDelay, mostDelay)),
		changed: make(chan struct{}, 1), monitors: monitors{}, ready: make(chan struct{}),
	}, nil
}

// Run collects until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	defer c.running.Wait()
	defer c.queue.ShutDown()
	defer func() {
		for _, m := range c.monitors {
			m.stop()
		}
	}()
	for delay := firstDelay; ; delay = min(2*delay, mostDelay) {
		err := c.resync(ctx)
		if err == nil {
			break
		}
		c.log.Warn("kinds not discovered; it is tried again", "err", err)
		if !wait(ctx, delay) {
			return nil
		}
	}
	c.awaitFirst(ctx)
	for range c.workers {
		c.running.Go(func() {
			for c.next(ctx) {
			}
		})
	}
	close(c.ready)
	c.followChanges(ctx)
	return nil
}

func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// patience with kinds that cannot be listed: the others are not to wait for them for ever.
const patience = 30 * time.Second

// awaitFirst waits until the graph has all there was.
func (c *Collector) awaitFirst(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for resource, m := range c.monitors {
		select {
		case <-m.synced.Done():
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				c.log.Warn("kind cannot be listed; garbage is collected without it", "resource", resource.String())
			}
		}
	}
}

// Ready blocks until all that there was is known.
func (c *Collector) Ready(ctx context.Context) error {
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rediscover asks for a look at the kinds soon.
func (c *Collector) rediscover() {
	select {
	case c.changed <- struct{}{}:
	default: // it has been asked for
	}
}

// settling is when to look at the kinds after a change: a new one is served a while after it was defined.
var settling = []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second}

// followChanges keeps the watched kinds right.
func (c *Collector) followChanges(ctx context.Context) {
	step, next := len(settling), time.Now().Add(c.period)
	timer := time.NewTimer(c.period)
	defer timer.Stop()
	for {
		select {
		case <-c.changed:
			step = 0
			if soon := time.Now().Add(settling[0]); soon.Before(next) {
				next = soon
			}
		case <-timer.C:
			if err := c.resync(ctx); err != nil && ctx.Err() == nil {
				c.log.Warn("kinds not discovered; it is tried again", "err", err)
			}
			step++
			next = time.Now().Add(c.pause(step))
		case <-ctx.Done():
			return
		}
		timer.Reset(time.Until(next))
	}
}

func (c *Collector) pause(step int) time.Duration {
	if step < len(settling) {
		return settling[step]
	}
	return c.period
}

func (c *Collector) look(uids ...types.UID) {
	for _, uid := range uids {
		c.queue.Add(uid)
	}
}

// next deals with one object; false when the queue has been shut down.
func (c *Collector) next(ctx context.Context) bool {
	uid, down := c.queue.Get()
	if down {
		return false
	}
	defer c.queue.Done(uid)
	err := c.guarded(ctx, uid)
	switch {
	case ctx.Err() != nil:
	case err == nil:
		c.queue.Forget(uid)
	default:
		if !apierrors.IsConflict(err) && !errors.Is(err, errUnwatched) {
			c.log.Debug("object not dealt with; it is tried again", "err", err)
		}
		c.queue.AddRateLimited(uid)
	}
	return true
}

// guarded keeps a fault here from ending the process.
func (c *Collector) guarded(ctx context.Context, uid types.UID) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v", fault)
			c.log.Error("garbage collector faulted", "object", uid, "err", err, "stack", string(debug.Stack()))
		}
	}()
	return c.work(ctx, uid)
}
