package store

import (
	"context"
	"path"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/cacher"
	"k8s.io/apiserver/pkg/storage/etcd3"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/identity"
	flowcontrol "k8s.io/apiserver/pkg/util/flowcontrol/request"
	"k8s.io/client-go/tools/cache"
)

// Options is a generic.RESTOptionsGetter: it tells registries how to keep their objects here.
type Options struct {
	Store *Store
	// Codec encodes a resource's objects for storage.
	Codec func(schema.GroupResource) runtime.Codec
	// Transformers encrypt resources' values; nil keeps them as they are.
	Transformers value.ResourceTransformers
	// Tracker counts objects for the cost of requests.
	Tracker flowcontrol.StorageObjectCountTracker
	// Share makes in-process informers of these resources possible.
	Share bool
}

// GetRESTOptions implements generic.RESTOptionsGetter.
func (o Options) GetRESTOptions(gr schema.GroupResource, _ runtime.Object) (generic.RESTOptions, error) {
	cfg := storagebackend.NewDefaultConfig("/registry", o.Codec(gr))
	cfg.StorageObjectCountTracker = o.Tracker
	prefix := gr.Group + "/" + gr.Resource
	if gr.Group == "" {
		prefix = gr.Resource
	}
	return generic.RESTOptions{
		StorageConfig:             cfg.ForResource(gr),
		Decorator:                 o.decorate,
		EnableGarbageCollection:   true,
		DeleteCollectionWorkers:   4,
		ResourcePrefix:            prefix,
		CountMetricPollPeriod:     time.Minute,
		StorageObjectCountTracker: o.Tracker,
	}, nil
}

// decorate builds a resource's storage: etcd, the tee that shares its objects, the watch cache on top. The
// library's own factory would dial etcd over gRPC, once for each resource.
func (o Options) decorate(cfg *storagebackend.ConfigForResource, resourcePrefix string, keyFunc func(runtime.Object) (string, error),
	newFunc, newListFunc func() runtime.Object, getAttrs storage.AttrFunc, trigger storage.IndexerFuncs, indexers *cache.Indexers,
) (storage.Interface, factory.DestroyFunc, error) {
	versioner := storage.APIObjectVersioner{}
	transformer := identity.NewEncryptCheckTransformer()
	if o.Transformers != nil {
		transformer = o.Transformers.TransformerForResource(cfg.GroupResource)
	}
	raw, err := etcd3.New(o.Store.client, o.Store.compactor, cfg.Codec, newFunc, newListFunc, cfg.Prefix, resourcePrefix, cfg.GroupResource,
		transformer, cfg.LeaseManagerConfig, etcd3.NewDefaultDecoder(cfg.Codec, versioner), versioner)
	if err != nil {
		return nil, nil, err
	}
	o.Store.keep(path.Join("/", cfg.Prefix, resourcePrefix)+"/", transformer)
	var source storage.Interface = raw
	if o.Share {
		source = o.Store.share(cfg.GroupResource, newFunc(), raw)
	}
	cached, err := cacher.NewCacherFromConfig(cacher.Config{
		Storage: source, Versioner: versioner, GroupResource: cfg.GroupResource, EventsHistoryWindow: cfg.EventsHistoryWindow,
		ResourcePrefix: resourcePrefix, KeyFunc: keyFunc, NewFunc: newFunc, NewListFunc: newListFunc,
		GetAttrsFunc: getAttrs, IndexerFuncs: trigger, Indexers: indexers, Codec: cfg.Codec,
	})
	if err != nil {
		raw.Close()
		return nil, nil, err
	}
	delegator := cacher.NewCacheDelegator(cached, raw)
	o.Store.addCache(delegator)
	var once sync.Once
	return delegator, func() {
		once.Do(func() {
			o.Store.dropCache(delegator)
			delegator.Stop()
			cached.Stop()
			raw.Close()
		})
	}, nil
}

// addCache remembers a watch cache for Filled.
func (s *Store) addCache(c storage.Interface) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caches = append(s.caches, c)
}

// dropCache forgets one: kinds come and go.
func (s *Store) dropCache(c storage.Interface) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caches = slices.DeleteFunc(s.caches, func(have storage.Interface) bool { return have == c })
}

// Filled blocks until every watch cache made so far has been filled: requests before that are told to come back
// after a second.
func (s *Store) Filled(ctx context.Context) error {
	s.mu.Lock()
	caches := slices.Clone(s.caches)
	s.mu.Unlock()
	for _, c := range caches {
		err := wait.PollUntilContextCancel(ctx, 2*time.Millisecond, true, func(context.Context) (bool, error) {
			return c.ReadinessCheck() == nil, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
