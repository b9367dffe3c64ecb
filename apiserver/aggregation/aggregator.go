// Package aggregation passes the requests of some API groups on to other API servers, which APIServices name, and tells
// in discovery what those serve. Who may do what is decided before; how objects are checked is theirs.
package aggregation

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	discoveryendpoint "k8s.io/apiserver/pkg/endpoints/discovery/aggregated"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"dhow/apiserver/groups"
)

// Config of an Aggregator.
type Config struct {
	// Informers hold APIServices, Services and EndpointSlices.
	Informers informers.SharedInformerFactory
	Resolver  webhook.ServiceResolver
	// Cert and Key (PEM) show other servers that it is this one who says for whom it asks.
	Cert, Key []byte
	// Discovery is told what others serve, and Groups the names of their groups.
	Discovery discoveryendpoint.ResourceManager
	Groups    *groups.List
	// UpdateStatus writes the status of an APIService.
	UpdateStatus func(context.Context, *apiregistrationv1.APIService) error
	Log          *slog.Logger
}

// Aggregator knows the servers behind APIServices.
type Aggregator struct {
	config   Config
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
	known    cache.SharedIndexInformer // APIServices
	queue    workqueue.TypedRateLimitingInterface[string]

	mu       sync.RWMutex
	backends map[schema.GroupVersion]*backend
}

// How often servers are asked whether they still answer, and how many at once: one that hangs holds one of them up for
// some seconds.
const (
	checkEvery = 30 * time.Second
	checkers   = 8
)

// New makes an Aggregator; it knows no server until Run.
func New(c Config) (*Aggregator, error) {
	a := &Aggregator{
		config: c, backends: map[schema.GroupVersion]*backend{},
		services: c.Informers.Core().V1().Services().Lister(), slices: c.Informers.Discovery().V1().EndpointSlices().Lister(),
		known: c.Informers.InformerFor(&apiregistrationv1.APIService{}, nil),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Second/4, checkEvery)),
	}
	_, err := a.known.AddEventHandler(onChange(func(obj any) {
		if name, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
			a.queue.Add(name)
		}
	}))
	_, errServices := c.Informers.Core().V1().Services().Informer().AddEventHandler(onChange(a.checkBehind))
	_, errSlices := c.Informers.Discovery().V1().EndpointSlices().Informer().AddEventHandler(onChange(a.checkBehind))
	return a, errors.Join(err, errServices, errSlices)
}

func onChange(f func(obj any)) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{AddFunc: f, UpdateFunc: func(_, obj any) { f(obj) }, DeleteFunc: f}
}

// checkBehind checks APIServices anew in whose namespace a Service or its endpoints have changed.
func (a *Aggregator) checkBehind(obj any) {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err != nil {
		return
	}
	namespace, _, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return
	}
	a.each(func(s *apiregistrationv1.APIService) {
		if s.Spec.Service != nil && s.Spec.Service.Namespace == namespace {
			a.queue.Add(s.Name)
		}
	})
}

func (a *Aggregator) each(f func(*apiregistrationv1.APIService)) {
	err := cache.ListAll(a.known.GetIndexer(), labels.Everything(), func(obj any) { f(obj.(*apiregistrationv1.APIService)) })
	if err != nil {
		a.config.Log.Error("apiservices cannot be listed", "err", err)
	}
}

// Run keeps watch over the servers until ctx ends.
func (a *Aggregator) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	defer a.queue.ShutDown()
	for range checkers {
		running.Go(func() {
			for a.checkNext(ctx) {
			}
		})
	}
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			a.each(func(s *apiregistrationv1.APIService) { a.queue.Add(s.Name) })
		case <-ctx.Done():
			return
		}
	}
}

func (a *Aggregator) checkNext(ctx context.Context) bool {
	name, stop := a.queue.Get()
	if stop {
		return false
	}
	defer a.queue.Done(name)
	if err := a.sync(ctx, name); err != nil && ctx.Err() == nil {
		a.config.Log.Debug("apiservice is not available", "apiservice", name, "err", err)
		a.queue.AddRateLimited(name)
		return true
	}
	a.queue.Forget(name)
	return true
}

// Wrap passes requests for others' groups on to them, and the rest to next.
func (a *Aggregator) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gv := groupVersionOf(r.URL.Path)
		if b := a.find(gv); b != nil {
			b.ServeHTTP(w, r)
			return
		}
		if gv.Version == "" && a.config.Groups.Has(groups.Remote, gv.Group) && a.config.Groups.ServeGroup(gv.Group, w, r) {
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *Aggregator) find(gv schema.GroupVersion) *backend {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.backends[gv]
}
