package customresources

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
)

// storages makes the storages of custom resources, each patient, and closes at last those that are left: the library's
// handler opens one at the first request for a kind.
type storages struct {
	generic.RESTOptionsGetter

	mu     sync.Mutex
	next   int
	closes map[int]func()
}

// GetRESTOptions implements generic.RESTOptionsGetter.
func (s *storages) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	options, err := s.RESTOptionsGetter.GetRESTOptions(resource, example)
	if err != nil {
		return options, err
	}
	decorate := options.Decorator
	options.Decorator = func(c *storagebackend.ConfigForResource, prefix string, key func(runtime.Object) (string, error),
		newFunc, newListFunc func() runtime.Object, attributes storage.AttrFunc, trigger storage.IndexerFuncs, indexers *cache.Indexers,
	) (storage.Interface, factory.DestroyFunc, error) {
		made, destroy, err := decorate(c, prefix, key, newFunc, newListFunc, attributes, trigger, indexers)
		if err != nil {
			return nil, nil, err
		}
		return patient{made}, s.remember(destroy), nil
	}
	return options, nil
}

func (s *storages) remember(destroy func()) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.next
	s.next++
	s.closes[id] = destroy
	return func() {
		s.mu.Lock()
		delete(s.closes, id)
		s.mu.Unlock()
		destroy()
	}
}

func (s *storages) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, destroy := range s.closes {
		destroy()
	}
	clear(s.closes)
}

// patience is how long a request waits for its kind's watch cache; what a conversion webhook holds up for longer is
// told to come back.
const patience = 3 * time.Second

// patient is a storage whose readers wait while its watch cache, made at a kind's first request, is filled. The library
// would tell them to come back after a second.
type patient struct {
	storage.Interface
}

func (p patient) await(ctx context.Context) {
	if p.ReadinessCheck() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// What goes wrong meanwhile, the storage itself says best.
	_ = wait.PollUntilContextCancel(ctx, time.Millisecond, true, func(context.Context) (bool, error) {
		return p.ReadinessCheck() == nil, nil
	})
}

// Watch implements storage.Interface.
func (p patient) Watch(ctx context.Context, key string, options storage.ListOptions) (watch.Interface, error) {
	p.await(ctx)
	return p.Interface.Watch(ctx, key, options)
}

// GetList implements storage.Interface.
func (p patient) GetList(ctx context.Context, key string, options storage.ListOptions, list runtime.Object) error {
	p.await(ctx)
	return p.Interface.GetList(ctx, key, options, list)
}
