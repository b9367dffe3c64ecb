package store

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/client-go/tools/cache"
)

// shared is a tee between a resource's etcd storage and its watch cache: the objects that the cache is given
// are given to in-process informers as well, the same pointers, decoded once. Nobody may write to them.
//
//	etcd ── list, watch ──▶ shared ──▶ watch cache ──▶ HTTP clients
//	                           └─────▶ informers in this process
//
// It is itself what the informers list and watch. A watch that starts before what history still holds, or
// whose reader is too slow, is ended, and the informer's reflector lists again.
type shared struct {
	storage.Interface
	resource schema.GroupResource
	synced   chan struct{} // closed once the first list is whole
	once     sync.Once

	mu      sync.Mutex
	objects map[string]runtime.Object // by namespace/name
	pending map[string]runtime.Object // pages of a list that is not whole yet
	rv      uint64                    // of the newest change seen
	floor   uint64                    // history has every change after this one
	history []watch.Event
	readers map[*reader]struct{}
	copies  originals
}

// Bounds of one resource's history and of one reader's backlog, in events.
const (
	historyLength = 1024
	readerBacklog = 512
)

// share makes the tee for a resource whose objects have example's type.
func (s *Store) share(gr schema.GroupResource, example runtime.Object, raw storage.Interface) *shared {
	sh := &shared{
		Interface: raw, resource: gr, synced: make(chan struct{}),
		objects: map[string]runtime.Object{}, readers: map[*reader]struct{}{},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shared[reflect.TypeOf(example)] = sh
	return sh
}

// IsWatchListSemanticsUnSupported keeps the watch cache to list-then-watch, which is what shared observes.
func (s *shared) IsWatchListSemanticsUnSupported() bool { return true }

// GetList is the watch cache's: the last page replaces everything known.
func (s *shared) GetList(ctx context.Context, key string, options storage.ListOptions, list runtime.Object) error {
	if err := s.Interface.GetList(ctx, key, options, list); err != nil {
		return err
	}
	items, err := meta.ExtractList(list) // pointers into the list, those that the cache will hold
	if err != nil {
		return err
	}
	m, err := meta.ListAccessor(list)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if options.Predicate.Continue == "" || s.pending == nil {
		s.pending = map[string]runtime.Object{}
	}
	for _, item := range items {
		s.pending[keyOf(item)] = item
	}
	if m.GetContinue() == "" {
		s.replace(parseRV(m.GetResourceVersion()))
	}
	return nil
}

// replace makes the pending list the state. Readers end: they missed what happened before it.
func (s *shared) replace(rv uint64) {
	s.checkAll()
	s.objects, s.pending = s.pending, nil
	for _, o := range s.objects {
		s.copies.remember(o)
	}
	s.rv, s.floor, s.history = rv, rv, nil
	for r := range s.readers {
		r.end()
	}
	s.once.Do(func() { close(s.synced) })
}

// Watch is the watch cache's; each event passes by observe.
func (s *shared) Watch(ctx context.Context, key string, options storage.ListOptions) (watch.Interface, error) {
	options.RecordTimestamps = false // else objects come wrapped
	w, err := s.Interface.Watch(ctx, key, options)
	if err != nil {
		return nil, err
	}
	return watch.Filter(w, func(e watch.Event) (watch.Event, bool) {
		s.observe(e)
		return e, true
	}), nil
}

// checkAll looks whether somebody wrote to what is shared, in builds that find out. The caller holds mu.
func (s *shared) checkAll() {
	for _, o := range s.objects {
		s.copies.check(o)
	}
}

func (s *shared) observe(e watch.Event) {
	if e.Type == watch.Error {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rv = max(s.rv, rvOf(e.Object))
	switch e.Type {
	case watch.Added, watch.Modified:
		s.copies.check(s.objects[keyOf(e.Object)])
		s.copies.remember(e.Object)
		s.objects[keyOf(e.Object)] = e.Object
	case watch.Deleted:
		s.copies.check(s.objects[keyOf(e.Object)])
		delete(s.objects, keyOf(e.Object))
	default: // bookmarks only move rv
		return
	}
	s.history = append(s.history, e)
	if len(s.history) > historyLength {
		cut := len(s.history) / 2
		s.floor = rvOf(s.history[cut-1].Object)
		s.history = slices.Clone(s.history[cut:])
	}
	for r := range s.readers {
		r.offer(e)
	}
}

// lister lists and watches the shared objects of one type for an informer. It looks the resource up late, since
// informers may be asked for before resources are installed.
type lister struct {
	store *Store
	kind  reflect.Type
}

var _ cache.ListerWatcher = lister{}

// IsWatchListSemanticsUnSupported: what is shared already needs no streaming.
func (l lister) IsWatchListSemanticsUnSupported() bool { return true }

func (l lister) source() (*shared, error) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if s := l.store.shared[l.kind]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("store: no resource holds %s", l.kind)
}

// List waits for the first whole list.
func (l lister) List(metav1.ListOptions) (runtime.Object, error) {
	s, err := l.source()
	if err != nil {
		return nil, err
	}
	<-s.synced
	s.mu.Lock()
	defer s.mu.Unlock()
	list := &metav1.List{Items: make([]runtime.RawExtension, 0, len(s.objects))}
	list.ResourceVersion = strconv.FormatUint(s.rv, 10)
	for _, o := range s.objects {
		list.Items = append(list.Items, runtime.RawExtension{Object: o})
	}
	return list, nil
}

// Watch goes on after options.ResourceVersion, or says that it is too old.
func (l lister) Watch(options metav1.ListOptions) (watch.Interface, error) {
	s, err := l.source()
	if err != nil {
		return nil, err
	}
	after := parseRV(options.ResourceVersion)
	s.mu.Lock()
	defer s.mu.Unlock()
	if after < s.floor {
		return nil, apierrors.NewResourceExpired("the history of " + s.resource.String() + " starts later")
	}
	missed := s.history
	for len(missed) > 0 && rvOf(missed[0].Object) <= after {
		missed = missed[1:]
	}
	r := &reader{from: s, events: make(chan watch.Event, len(missed)+readerBacklog)}
	for _, e := range missed {
		r.events <- e
	}
	s.readers[r] = struct{}{}
	return r, nil
}

// reader is one informer's watch.
type reader struct {
	from   *shared
	events chan watch.Event
}

// offer ends a reader whose backlog is full. The caller holds from.mu.
func (r *reader) offer(e watch.Event) {
	select {
	case r.events <- e:
	default:
		r.end()
	}
}

// end closes the channel, once. The caller holds from.mu.
func (r *reader) end() {
	if _, live := r.from.readers[r]; live {
		delete(r.from.readers, r)
		close(r.events)
	}
}

// ResultChan implements watch.Interface.
func (r *reader) ResultChan() <-chan watch.Event { return r.events }

// Stop implements watch.Interface.
func (r *reader) Stop() {
	r.from.mu.Lock()
	defer r.from.mu.Unlock()
	r.end()
}

func keyOf(o runtime.Object) string {
	m, err := meta.Accessor(o)
	if err != nil {
		return ""
	}
	return m.GetNamespace() + "/" + m.GetName()
}

func rvOf(o runtime.Object) uint64 {
	m, err := meta.CommonAccessor(o)
	if err != nil {
		return 0
	}
	return parseRV(m.GetResourceVersion())
}

// parseRV reads a resource version that etcd's storage wrote; anything else counts as the beginning.
func parseRV(text string) uint64 {
	rv, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0
	}
	return rv
}
