package garbage

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
)

// monitor feeds one kind's objects into the graph.
type monitor struct {
	kind   *kind
	synced cache.DoneChecker
	stop   func()
}

// follow starts to watch a kind: by the informer that this process shares, if it has one, else by one of our own that
// keeps no more than the graph needs.
func (c *Collector) follow(ctx context.Context, k *kind) (*monitor, error) {
	if c.shared != nil {
		if generic, err := c.shared.ForResource(k.resource); err == nil {
			informer := generic.Informer()
			registration, err := informer.AddEventHandler(c.handler(k))
			if err != nil {
				return nil, err
			}
			return &monitor{k, registration.HasSyncedChecker(), func() { _ = informer.RemoveEventHandler(registration) }}, nil // an unknown registration is as good as removed
		}
	}
	informer := metadatainformer.NewFilteredMetadataInformer(c.live.client, k.resource, metav1.NamespaceAll, 0, nil, nil).Informer()
	if err := informer.SetTransform(slim); err != nil {
		return nil, err
	}
	registration, err := informer.AddEventHandler(c.handler(k))
	if err != nil {
		return nil, err
	}
	own, stop := context.WithCancel(ctx)
	c.running.Go(func() { informer.RunWithContext(own) })
	return &monitor{k, registration.HasSyncedChecker(), stop}, nil
}

// slim drops what the graph does not need.
func slim(obj any) (any, error) {
	o, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return obj, nil // the mark of a deletion that was missed
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: o.Namespace, Name: o.Name, UID: o.UID, ResourceVersion: o.ResourceVersion,
		OwnerReferences: o.OwnerReferences, Finalizers: o.Finalizers, DeletionTimestamp: o.DeletionTimestamp,
	}}, nil
}

// orphanDelay lets the other kinds' watches show the dependants of an object that leaves orphans: those that were made
// just before must be freed, too, or they would be deleted after it.
const orphanDelay = 50 * time.Millisecond

func (c *Collector) handler(k *kind) cache.ResourceEventHandler {
	observe := func(obj any) {
		m, ok := obj.(metav1.Object)
		if !ok {
			return
		}
		o := newObject(k, m)
		c.look(c.graph.observe(o)...)
		if o.state == orphaning {
			c.queue.AddAfter(o.uid, orphanDelay)
		}
		c.noteKind(k)
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: observe,
		UpdateFunc: func(before, after any) {
			was, is := before.(metav1.Object), after.(metav1.Object)
			if was.GetUID() != is.GetUID() { // the end of the one and the making of the other were missed
				c.look(c.graph.remove(was.GetUID())...)
			}
			observe(after)
		},
		DeleteFunc: func(obj any) {
			if gone, missed := obj.(cache.DeletedFinalStateUnknown); missed {
				obj = gone.Obj
			}
			if o, ok := obj.(metav1.Object); ok {
				c.look(c.graph.remove(o.GetUID())...)
				c.noteKind(k)
			}
		},
	}
}

// noteKind: when what is served changes, so may the kinds.
func (c *Collector) noteKind(k *kind) {
	if k.Kind == "CustomResourceDefinition" || k.Kind == "APIService" {
		c.rediscover()
	}
}

// resync follows the kinds that are served now, and those no more that are not.
func (c *Collector) resync(ctx context.Context) error {
	s, err := discover(c.discovery)
	if err != nil {
		return err
	}
	c.kinds.set(s.all)
	for resource, m := range c.monitors {
		if s.watch[resource] == nil && !s.failed[resource.Group] {
			m.stop()
			delete(c.monitors, resource)
			c.graph.forget(m.kind)
		}
	}
	for resource, k := range s.watch {
		if c.monitors[resource] != nil {
			continue
		}
		m, err := c.follow(ctx, k)
		if err != nil {
			return err
		}
		c.monitors[resource] = m
	}
	if c.shared != nil {
		c.shared.StartWithContext(ctx)
	}
	return nil
}

// monitors by resource; only Run's goroutine touches them.
type monitors map[schema.GroupResource]*monitor
