package garbage

import (
	"reflect"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// state is how far an object's deletion is.
//
//	living ──delete──▶ ending ──▶ gone
//	   ├──delete, foreground──▶ foreground ──dependants gone──▶ gone
//	   └──delete, orphan──────▶ orphaning ──dependants freed──▶ gone
type state int

const (
	living state = iota
	ending
	foreground
	orphaning
)

func stateOf(o metav1.Object) state {
	switch {
	case o.GetDeletionTimestamp() == nil:
		return living
	case slices.Contains(o.GetFinalizers(), metav1.FinalizerOrphanDependents):
		return orphaning
	case slices.Contains(o.GetFinalizers(), metav1.FinalizerDeleteDependents):
		return foreground
	default:
		return ending
	}
}

// object is what the graph knows of one; it is replaced, never changed.
type object struct {
	kind            *kind
	namespace, name string
	uid             types.UID
	owners          []metav1.OwnerReference // read-only
	state           state
}

func newObject(k *kind, o metav1.Object) *object {
	return &object{k, o.GetNamespace(), o.GetName(), o.GetUID(), o.GetOwnerReferences(), stateOf(o)}
}

// is says whether a reference from an object in namespace names o, not just its UID.
func (o *object) is(ref metav1.OwnerReference, namespace string) bool {
	return !o.strangerTo(namespace) && ref.Name == o.name && ref.Kind == o.kind.Kind && ref.APIVersion == o.kind.apiVersion
}

// strangerTo: o may not own what is in namespace.
func (o *object) strangerTo(namespace string) bool {
	return o.namespace != "" && o.namespace != namespace
}

// refersTo is the reference to an owner.
func (o *object) refersTo(owner types.UID) (metav1.OwnerReference, bool) {
	at := slices.IndexFunc(o.owners, func(ref metav1.OwnerReference) bool { return ref.UID == owner })
	if at < 0 {
		return metav1.OwnerReference{}, false
	}
	return o.owners[at], true
}

// blocks says whether o keeps an owner that is deleted in the foreground.
func (o *object) blocks(owner types.UID) bool {
	return slices.ContainsFunc(o.owners, func(ref metav1.OwnerReference) bool { return ref.UID == owner && isBlocking(ref) })
}

func isBlocking(ref metav1.OwnerReference) bool {
	return ref.BlockOwnerDeletion != nil && *ref.BlockOwnerDeletion
}

// graph is who owns whom. Its changes say which objects deserve a look.
type graph struct {
	mu         sync.Mutex
	objects    map[types.UID]*object
	dependants map[types.UID]map[types.UID]struct{} // by owner, whether or not the owner is known
}

func newGraph() *graph {
	return &graph{objects: map[types.UID]*object{}, dependants: map[types.UID]map[types.UID]struct{}{}}
}

// observe takes an object as it is now.
func (g *graph) observe(o *object) (look []types.UID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.objects[o.uid]
	if before != nil && before.state == o.state && reflect.DeepEqual(before.owners, o.owners) {
		return nil
	}
	g.objects[o.uid] = o
	if before == nil {
		before = &object{state: living}
		look = g.misled(o)
	}
	look = append(look, g.relink(before, o)...)
	if g.isDoubtful(o) {
		look = append(look, o.uid)
	}
	if o.state != before.state && o.state == foreground {
		look = append(look, o.uid)
		look = append(look, g.dependantsOf(o.uid)...)
	}
	return look
}

// misled are dependants of a new object whose references name another than it is.
func (g *graph) misled(owner *object) (look []types.UID) {
	for uid := range g.dependants[owner.uid] {
		if dependant := g.objects[uid]; dependant != nil && g.isDoubtful(dependant) {
			look = append(look, uid)
		}
	}
	return look
}

// relink moves an object from its former owners to its present ones. Owners that it keeps no more deserve a look.
func (g *graph) relink(before, o *object) (look []types.UID) {
	for _, ref := range before.owners {
		if _, still := o.refersTo(ref.UID); !still {
			g.unlink(o.uid, ref.UID)
		}
		if isBlocking(ref) && !o.blocks(ref.UID) {
			look = append(look, g.waiting(ref.UID)...)
		}
	}
	for _, ref := range o.owners {
		if g.dependants[ref.UID] == nil {
			g.dependants[ref.UID] = map[types.UID]struct{}{}
		}
		g.dependants[ref.UID][o.uid] = struct{}{}
	}
	return look
}

func (g *graph) unlink(dependant, owner types.UID) {
	delete(g.dependants[owner], dependant)
	if len(g.dependants[owner]) == 0 {
		delete(g.dependants, owner)
	}
}

// waiting is the owner itself if it is being deleted in the foreground.
func (g *graph) waiting(owner types.UID) []types.UID {
	if o := g.objects[owner]; o != nil && o.state == foreground {
		return []types.UID{owner}
	}
	return nil
}

func (g *graph) dependantsOf(owner types.UID) (all []types.UID) {
	for uid := range g.dependants[owner] {
		all = append(all, uid)
	}
	return all
}

// remove takes an object that is gone.
func (g *graph) remove(uid types.UID) (look []types.UID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	o := g.objects[uid]
	if o == nil {
		return nil
	}
	delete(g.objects, uid)
	for _, ref := range o.owners {
		g.unlink(uid, ref.UID)
		look = append(look, g.waiting(ref.UID)...)
	}
	return append(look, g.dependantsOf(uid)...)
}

// forget drops all objects of a kind that is not served any more. That says nothing about their dependants.
func (g *graph) forget(k *kind) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for uid, o := range g.objects {
		if o.kind != k {
			continue
		}
		delete(g.objects, uid)
		for _, ref := range o.owners {
			g.unlink(uid, ref.UID)
		}
	}
}

// isDoubtful: o lives, and the graph does not vouch for all of its owners.
func (g *graph) isDoubtful(o *object) bool {
	if o.state != living {
		return false
	}
	for _, ref := range o.owners {
		if owner := g.objects[ref.UID]; owner == nil || owner.state == foreground || !owner.is(ref, o.namespace) {
			return true
		}
	}
	return false
}

// view is what the graph says of one object at one moment.
type view struct {
	*object
	doubtful   bool
	dependants []*object
	owners     map[types.UID]*object // those that are known
}

// view is false for an object that the graph does not know.
func (g *graph) view(uid types.UID) (view, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	o := g.objects[uid]
	if o == nil {
		return view{}, false
	}
	v := view{object: o, doubtful: g.isDoubtful(o), owners: map[types.UID]*object{}}
	for uid := range g.dependants[uid] {
		if dependant := g.objects[uid]; dependant != nil {
			v.dependants = append(v.dependants, dependant)
		}
	}
	for _, ref := range o.owners {
		if owner := g.objects[ref.UID]; owner != nil {
			v.owners[ref.UID] = owner
		}
	}
	return v, true
}
