package garbage

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var (
	// errUnwatched: an owner exists that no watch has shown yet; if it never does, nobody would tell of its end.
	errUnwatched = errors.New("owner exists but is not watched yet")
	// errUnknownKind: whether such an owner exists cannot be known.
	errUnknownKind = errors.New("the server has no such kind")
	// errNamespacedOwner: a cluster-wide object names an owner in a namespace. Nothing will make that right.
	errNamespacedOwner = errors.New("cluster-scoped objects cannot refer to namespaced owners")
)

// work does what one object needs; an error means again, later.
func (c *Collector) work(ctx context.Context, uid types.UID) error {
	v, known := c.graph.view(uid)
	switch {
	case !known:
		return nil
	case v.state == orphaning:
		return c.orphan(ctx, v)
	case v.state == foreground:
		return c.finish(ctx, v)
	case v.doubtful:
		return c.judge(ctx, v)
	}
	return nil
}

// orphan frees an object's dependants and lets it go.
func (c *Collector) orphan(ctx context.Context, v view) error {
	for _, d := range v.dependants {
		o, err := c.live.get(ctx, d.kind, d.namespace, d.name, d.uid)
		if err != nil {
			return fmt.Errorf("orphan %s: %w", d, err)
		}
		if o == nil {
			continue
		}
		kept := without(o.OwnerReferences, []metav1.OwnerReference{{UID: v.uid}})
		if len(kept) == len(o.OwnerReferences) {
			continue
		}
		if err := c.live.setOwners(ctx, d.kind, o, kept); err != nil {
			return fmt.Errorf("orphan %s: %w", d, err)
		}
	}
	return c.live.takeFinalizer(ctx, v.object, metav1.FinalizerOrphanDependents)
}

// finish lets an object that is deleted in the foreground go when nothing blocks it.
func (c *Collector) finish(ctx context.Context, v view) error {
	blocked := false
	for _, d := range v.dependants {
		if d.blocks(v.uid) {
			blocked = true
			if d.state == living {
				c.queue.Add(d.uid)
			}
		}
	}
	if blocked {
		return nil // the end of the last of them brings us here again
	}
	return c.live.takeFinalizer(ctx, v.object, metav1.FinalizerDeleteDependents)
}

// judge finds out whether an object has lost its owners, and deletes it if so.
func (c *Collector) judge(ctx context.Context, v view) error {
	c.reportStrangers(ctx, v)
	o, err := c.live.get(ctx, v.kind, v.namespace, v.name, v.uid)
	if err != nil || o == nil || o.DeletionTimestamp != nil {
		return err // of its end the watch will tell
	}
	verdicts, unwatched, err := c.verdicts(ctx, v, o.OwnerReferences)
	if errors.Is(err, errNamespacedOwner) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.act(ctx, v, o, plan(o.OwnerReferences, verdicts, v.dependants, o.Finalizers)); err != nil {
		return err
	}
	if unwatched {
		return errUnwatched
	}
	return nil
}

func (c *Collector) act(ctx context.Context, v view, o *metav1.PartialObjectMetadata, a action) error {
	if len(a.strip) > 0 {
		return c.live.setOwners(ctx, v.kind, o, without(o.OwnerReferences, a.strip))
	}
	if !a.remove {
		return nil
	}
	if a.unblock {
		if err := c.live.setOwners(ctx, v.kind, o, unblocking(o.OwnerReferences)); err != nil {
			return err
		}
		now, err := c.live.get(ctx, v.kind, v.namespace, v.name, v.uid)
		if err != nil || now == nil {
			return err
		}
		o = now
	}
	c.log.Debug("object without owners is deleted", "kind", v.kind.Kind, "namespace", v.namespace, "name", v.name)
	return c.live.remove(ctx, v.kind, o, a.policy)
}

// verdicts ask the API for each owner. unwatched: one is there that the graph does not know.
func (c *Collector) verdicts(ctx context.Context, v view, owners []metav1.OwnerReference) (all []verdict, unwatched bool, err error) {
	for _, ref := range owners {
		verdict, err := c.verdict(ctx, v.object, ref)
		if err != nil {
			return nil, false, fmt.Errorf("owner %s %s of %s: %w", ref.Kind, ref.Name, v.object, err)
		}
		all = append(all, verdict)
		unwatched = unwatched || verdict == present && v.owners[ref.UID] == nil
	}
	return all, unwatched, nil
}

func (c *Collector) verdict(ctx context.Context, o *object, ref metav1.OwnerReference) (verdict, error) {
	k, known := c.kinds.find(ref.APIVersion, ref.Kind)
	if !known {
		c.rediscover()
		return 0, errUnknownKind
	}
	namespace := o.namespace
	switch {
	case !k.namespaced:
		namespace = ""
	case namespace == "":
		return 0, errNamespacedOwner
	}
	key := absentee{ref.APIVersion, ref.Kind, namespace, ref.Name, ref.UID}
	if c.absent.has(key) {
		return absent, nil
	}
	owner, err := c.live.get(ctx, k, namespace, ref.Name, ref.UID)
	switch {
	case err != nil:
		return 0, err
	case owner == nil:
		c.absent.add(key)
		return absent, nil
	case stateOf(owner) == foreground:
		return goingForeground, nil
	}
	return present, nil
}

// String names an object as errors and logs do.
func (o *object) String() string {
	if o.namespace == "" {
		return o.kind.Kind + " " + o.name
	}
	return o.kind.Kind + " " + o.namespace + "/" + o.name
}
