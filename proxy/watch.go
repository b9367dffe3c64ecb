package proxy

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// watch keeps the Services with their EndpointSlices, and which of them changed. The objects are shared: read only.
type watch struct {
	nodeName string
	wake     chan struct{}
	handlers []handler

	mu       sync.Mutex // guards what follows
	zone     string
	services map[types.NamespacedName]*corev1.Service
	slices   map[types.NamespacedName]map[string]*discoveryv1.EndpointSlice // by Service, then by name
	dirty    map[types.NamespacedName]bool
}

type handler struct {
	informer     cache.SharedIndexInformer
	registration cache.ResourceEventHandlerRegistration
}

func newWatch(factory informers.SharedInformerFactory, nodeName string) (*watch, error) {
	w := &watch{
		nodeName: nodeName, wake: make(chan struct{}, 1), services: map[types.NamespacedName]*corev1.Service{},
		slices: map[types.NamespacedName]map[string]*discoveryv1.EndpointSlice{}, dirty: map[types.NamespacedName]bool{},
	}
	for _, h := range []struct {
		informer cache.SharedIndexInformer
		events   cache.ResourceEventHandlerFuncs
	}{
		{factory.Core().V1().Services().Informer(), events(w.service)},
		{factory.Discovery().V1().EndpointSlices().Informer(), events(w.slice)},
		{factory.Core().V1().Nodes().Informer(), events(w.node)},
	} {
		registration, err := h.informer.AddEventHandler(h.events)
		if err != nil {
			return nil, fmt.Errorf("watch Services: %w", err)
		}
		w.handlers = append(w.handlers, handler{h.informer, registration})
	}
	return w, nil
}

// events calls seen with what was and what is; nil for nothing.
func events[T any](seen func(old, now *T)) cache.ResourceEventHandlerFuncs {
	as := func(obj any) *T {
		if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = last.Obj
		}
		t, _ := obj.(*T)
		return t
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { seen(nil, as(obj)) },
		UpdateFunc: func(old, obj any) { seen(as(old), as(obj)) },
		DeleteFunc: func(obj any) { seen(as(obj), nil) },
	}
}

// synced blocks until all that was there at the start has been seen.
func (w *watch) synced(ctx context.Context) error {
	for _, h := range w.handlers {
		select {
		case <-h.registration.HasSyncedChecker().Done():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// end stops watching.
func (w *watch) end() error {
	for _, h := range w.handlers {
		if err := h.informer.RemoveEventHandler(h.registration); err != nil {
			return fmt.Errorf("stop watching Services: %w", err)
		}
	}
	return nil
}

func (w *watch) service(old, now *corev1.Service) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now == nil {
		key := keyOf(old.Namespace, old.Name)
		delete(w.services, key)
		w.changed(key)
		return
	}
	key := keyOf(now.Namespace, now.Name)
	w.services[key] = now
	w.changed(key)
}

func (w *watch) slice(old, now *discoveryv1.EndpointSlice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old != nil {
		key := serviceOf(old)
		if delete(w.slices[key], old.Name); len(w.slices[key]) == 0 {
			delete(w.slices, key)
		}
		w.changed(key)
	}
	if now == nil {
		return
	}
	key := serviceOf(now)
	if w.slices[key] == nil {
		w.slices[key] = map[string]*discoveryv1.EndpointSlice{}
	}
	w.slices[key][now.Name] = now
	w.changed(key)
}

// node notes this node's zone, on which hints depend.
func (w *watch) node(_, now *corev1.Node) {
	if now == nil || now.Name != w.nodeName {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if zone := now.Labels[corev1.LabelTopologyZone]; zone != w.zone {
		w.zone = zone
		for key := range w.services {
			w.changed(key)
		}
	}
}

func (w *watch) changed(key types.NamespacedName) {
	w.dirty[key] = true
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// change is a Service that changed, as it is now; nil if it is gone.
type change struct {
	name    types.NamespacedName
	service *corev1.Service
	slices  []*discoveryv1.EndpointSlice
}

// take returns what changed since the last call, and this node's zone.
func (w *watch) take() ([]change, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []change
	for key := range w.dirty {
		c := change{name: key, service: w.services[key]}
		for _, slice := range w.slices[key] {
			c.slices = append(c.slices, slice)
		}
		all = append(all, c)
	}
	clear(w.dirty)
	return all, w.zone
}

func keyOf(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func serviceOf(slice *discoveryv1.EndpointSlice) types.NamespacedName {
	return keyOf(slice.Namespace, slice.Labels[discoveryv1.LabelServiceName])
}
