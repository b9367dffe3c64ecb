package store

import (
	"context"
	"fmt"
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/informers/internalinterfaces"
	"k8s.io/client-go/tools/cache"
)

// Factory hands out informers over the store's own objects; it looks like client-go's in every other way.
// Informers start with the first Start after they were asked for. What their listers return is shared by the
// whole process and read-only.
type Factory struct {
	groups // Core(), Apps() …
	store  *Store

	mu        sync.Mutex
	informers map[reflect.Type]cache.SharedIndexInformer
	started   map[reflect.Type]bool
	running   sync.WaitGroup
	down      bool
}

var _ informers.SharedInformerFactory = (*Factory)(nil)

// Informers makes a factory. Resources must have been installed before their informers start.
func (s *Store) Informers() *Factory {
	f := &Factory{store: s, informers: map[reflect.Type]cache.SharedIndexInformer{}, started: map[reflect.Type]bool{}}
	f.groups = groups{f}
	return f
}

// InformerFor implements informers.SharedInformerFactory. newFunc, which would list through a client, is not
// used. An informer of a type that no installed resource holds never syncs.
func (f *Factory) InformerFor(obj runtime.Object, _ internalinterfaces.NewInformerFunc) cache.SharedIndexInformer {
	kind := reflect.TypeOf(obj)
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.informers[kind]; known != nil {
		return known
	}
	informer := cache.NewSharedIndexInformer(lister{f.store, kind}, obj, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	f.informers[kind] = informer
	return informer
}

// InformerName implements internalinterfaces.SharedInformerFactory; informers here have no metrics.
func (f *Factory) InformerName() *cache.InformerName { return nil }

// Start implements informers.SharedInformerFactory.
func (f *Factory) Start(stop <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return
	}
	for kind, informer := range f.informers {
		if !f.started[kind] {
			f.started[kind] = true
			f.running.Go(func() { informer.Run(stop) })
		}
	}
}

// StartWithContext implements informers.SharedInformerFactory.
func (f *Factory) StartWithContext(ctx context.Context) { f.Start(ctx.Done()) }

// Shutdown implements informers.SharedInformerFactory.
func (f *Factory) Shutdown() {
	f.mu.Lock()
	f.down = true
	f.mu.Unlock()
	f.running.Wait()
}

// WaitForCacheSync implements informers.SharedInformerFactory.
func (f *Factory) WaitForCacheSync(stop <-chan struct{}) map[reflect.Type]bool {
	synced := map[reflect.Type]bool{}
	for kind, informer := range f.startedInformers() {
		synced[kind] = cache.WaitForCacheSync(stop, informer.HasSynced)
	}
	return synced
}

func (f *Factory) startedInformers() map[reflect.Type]cache.SharedIndexInformer {
	f.mu.Lock()
	defer f.mu.Unlock()
	running := map[reflect.Type]cache.SharedIndexInformer{}
	for kind := range f.started {
		running[kind] = f.informers[kind]
	}
	return running
}

// WaitForCacheSyncWithContext implements informers.SharedInformerFactory.
func (f *Factory) WaitForCacheSyncWithContext(ctx context.Context) cache.SyncResult {
	result := cache.SyncResult{Synced: f.WaitForCacheSync(ctx.Done())}
	result.Err = context.Cause(ctx)
	return result
}

// ForResource implements informers.SharedInformerFactory. As with client-go's, the next Start starts what it returns.
func (f *Factory) ForResource(resource schema.GroupVersionResource) (informers.GenericInformer, error) {
	obj := f.store.example(resource.GroupResource())
	if obj == nil {
		return nil, fmt.Errorf("no informer found for %v", resource)
	}
	f.InformerFor(obj, nil)
	return untyped{f, obj, resource.GroupResource()}, nil
}

// example is an empty object of a resource that is shared, or nil.
func (s *Store) example(resource schema.GroupResource) runtime.Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	for kind, source := range s.shared {
		if source.resource == resource {
			return reflect.New(kind.Elem()).Interface().(runtime.Object)
		}
	}
	return nil
}

// untyped is one informer without its type.
type untyped struct {
	factory  *Factory
	obj      runtime.Object
	resource schema.GroupResource
}

func (g untyped) Informer() cache.SharedIndexInformer { return g.factory.InformerFor(g.obj, nil) }

func (g untyped) Lister() cache.GenericLister {
	return cache.NewGenericLister(g.Informer().GetIndexer(), g.resource)
}
