package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/reference"
	"k8s.io/client-go/util/workqueue"

	"dhow/internal/eventlog"
)

// Config of a Manager.
type Config struct {
	// Client acts as a controller's user, User(name).
	Client func(user string) (kubernetes.Interface, error)
	// Informers are shared, and started by the caller after New.
	Informers   informers.SharedInformerFactory
	Controllers []Controller
	// Now is the clock, time.Now if nil.
	Now func() time.Time
	// Log, slog.Default() if nil.
	Log *slog.Logger
}

// User is the one as which a controller acts.
func User(name string) string { return "system:controller:" + name }

// Manager runs controllers.
type Manager struct {
	loops []*loop
	log   *slog.Logger
	ready chan struct{}
}

// New registers the controllers' watches. It starts nothing.
func New(c Config) (*Manager, error) {
	if c.Client == nil || c.Informers == nil {
		return nil, errors.New("controllers: Client and Informers must be set")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	m := &Manager{log: c.Log, ready: make(chan struct{})}
	for _, declared := range c.Controllers {
		l, err := newLoop(c, declared)
		if err != nil {
			return nil, fmt.Errorf("controller %s: %w", declared.Name, err)
		}
		m.loops = append(m.loops, l)
	}
	return m, nil
}

// Run reconciles until ctx ends, and then waits for what is under way.
func (m *Manager) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	defer m.shutDown()
	for _, l := range m.loops {
		if !cache.WaitFor(ctx, "", l.synced...) {
			return nil
		}
	}
	for _, l := range m.loops {
		running.Go(func() { l.run(ctx) })
	}
	close(m.ready)
	<-ctx.Done()
	return nil
}

func (m *Manager) shutDown() {
	for _, l := range m.loops {
		l.queue.ShutDown()
	}
}

// Ready blocks until all controllers work on what there was when they began.
func (m *Manager) Ready(ctx context.Context) error {
	select {
	case <-m.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// loop is one controller at work.
type loop struct {
	Controller
	env        Env
	log        *slog.Logger
	queue      workqueue.TypedRateLimitingInterface[types.NamespacedName]
	synced     []cache.DoneChecker
	reconciler Reconciler
	events     *eventlog.Recorder
	first      cache.SharedIndexInformer
}

// Back-off of a key whose reconciliation fails.
const firstDelay, mostDelay = 5 * time.Millisecond, time.Minute

func newLoop(c Config, declared Controller) (*loop, error) {
	client, err := c.Client(User(declared.Name))
	if err != nil {
		return nil, err
	}
	l := &loop{Controller: declared, log: c.Log.With("controller", declared.Name), events: eventlog.New(eventlog.Config{Client: client, Component: declared.Name, Now: c.Now, Log: c.Log})}
	l.queue = workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](firstDelay, mostDelay))
	l.env = Env{Client: client, Informers: c.Informers, Now: c.Now, Event: l.record}
	for i, read := range declared.Reads {
		informer, err := informerOf(c.Informers, read.Object)
		if err != nil {
			return nil, err
		}
		registration, err := informer.AddEventHandler(l.handler(read))
		if err != nil {
			return nil, err
		}
		l.synced = append(l.synced, registration.HasSyncedChecker())
		if i == 0 {
			l.first = informer
		}
	}
	l.reconciler = declared.New(l.env)
	return l, nil
}

// informerOf finds the shared informer of a typed example.
func informerOf(f informers.SharedInformerFactory, example runtime.Object) (cache.SharedIndexInformer, error) {
	resource, err := resourceOf(example)
	if err != nil {
		return nil, err
	}
	generic, err := f.ForResource(resource)
	if err != nil {
		return nil, err
	}
	return generic.Informer(), nil
}

func resourceOf(example runtime.Object) (schema.GroupVersionResource, error) {
	kinds, _, err := scheme.Scheme.ObjectKinds(example)
	if err != nil {
		return schema.GroupVersionResource{}, err
	}
	resource, _ := meta.UnsafeGuessKindToResource(kinds[0])
	return resource, nil
}

// handler turns what has happened to a read object into keys.
func (l *loop) handler(read Read) cache.ResourceEventHandler {
	enqueue := func(obj, old runtime.Object) {
		defer func() {
			if fault := recover(); fault != nil {
				l.log.Error("keys of a change were not found", "err", fmt.Errorf("panic: %v\n%s", fault, debug.Stack()))
			}
		}()
		if read.Keys == nil {
			if m, err := meta.Accessor(obj); err == nil {
				l.queue.Add(types.NamespacedName{Namespace: m.GetNamespace(), Name: m.GetName()})
			}
			return
		}
		for _, key := range read.Keys(l.env, obj, old) {
			l.queue.Add(key)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { enqueue(obj.(runtime.Object), nil) },
		UpdateFunc: func(before, after any) {
			enqueue(after.(runtime.Object), before.(runtime.Object))
		},
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if o, ok := obj.(runtime.Object); ok {
				enqueue(o, nil)
			}
		},
	}
}

// record implements Env.Event.
func (l *loop) record(obj runtime.Object, kind, reason, message string) {
	ref, err := reference.GetReference(scheme.Scheme, obj)
	if err != nil {
		return // not an object of the API
	}
	l.events.Record(*ref, kind, reason, message)
}

const defaultWorkers = 4

func (l *loop) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { l.events.Run(ctx) })
	workers := l.Workers
	if workers == 0 {
		workers = defaultWorkers
	}
	for range workers {
		running.Go(func() {
			for l.next(ctx) {
			}
		})
	}
	if l.Resync > 0 {
		running.Go(func() { l.resync(ctx) })
	}
}

// resync enqueues all of the first kind, again and again.
func (l *loop) resync(ctx context.Context) {
	tick := time.NewTicker(l.Resync)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, name := range l.first.GetStore().ListKeys() {
			if namespace, name, err := cache.SplitMetaNamespaceKey(name); err == nil {
				l.queue.Add(types.NamespacedName{Namespace: namespace, Name: name})
			}
		}
	}
}

// next makes one key right; false when the queue has been shut down.
func (l *loop) next(ctx context.Context) bool {
	key, down := l.queue.Get()
	if down {
		return false
	}
	defer l.queue.Done(key)
	result, err := l.reconcile(ctx, key)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		if !apierrors.IsConflict(err) {
			l.log.Warn("not reconciled; it is tried again", "key", key.String(), "err", err)
		}
		l.queue.AddRateLimited(key)
	default:
		l.queue.Forget(key)
		if result.After > 0 {
			l.queue.AddAfter(key, result.After)
		}
	}
	return true
}

// reconcile keeps a fault in one controller from ending the process.
func (l *loop) reconcile(ctx context.Context, key types.NamespacedName) (result Result, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v\n%s", fault, debug.Stack())
		}
	}()
	return l.reconciler.Reconcile(ctx, key)
}
