package owned

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Flight remembers what a controller has made and deleted until its watch has shown it, so that it does neither twice,
// however late the watch is. Unlike a count of what is expected, it lets the controller go on meanwhile.
type Flight[T metav1.Object] struct {
	mu     sync.Mutex
	owners map[types.NamespacedName]*aloft[T]
}

// aloft is what one owner waits for.
type aloft[T metav1.Object] struct {
	owner types.UID // where Owner has said so
	made  map[types.UID]launched[T]
	gone  map[types.UID]time.Time
}

type launched[T metav1.Object] struct {
	object T
	at     time.Time
}

// Lag is for how long the watch is not believed where it contradicts what has been done.
const Lag = 5 * time.Minute

// NewFlight is empty.
func NewFlight[T metav1.Object]() *Flight[T] {
	return &Flight[T]{owners: map[types.NamespacedName]*aloft[T]{}}
}

func (f *Flight[T]) of(owner types.NamespacedName) *aloft[T] {
	a := f.owners[owner]
	if a == nil {
		a = &aloft[T]{made: map[types.UID]launched[T]{}, gone: map[types.UID]time.Time{}}
		f.owners[owner] = a
	}
	return a
}

// Owner says who has the name now: what another of that name has left is forgotten.
func (f *Flight[T]) Owner(owner metav1.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a := f.owners[Key(owner)]; a != nil && a.owner != owner.GetUID() {
		delete(f.owners, Key(owner))
	}
	f.of(Key(owner)).owner = owner.GetUID()
}

// Made notes a new dependant of owner.
func (f *Flight[T]) Made(owner types.NamespacedName, o T, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.of(owner)
	if _, gone := a.gone[o.GetUID()]; !gone { // the watch may be faster than the answer
		a.made[o.GetUID()] = launched[T]{o, now}
	}
}

// Deleted notes that owner has deleted a dependant.
func (f *Flight[T]) Deleted(owner types.NamespacedName, uid types.UID, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.of(owner).gone[uid] = now
}

// Ended notes that the watch has shown a dependant's end.
func (f *Flight[T]) Ended(owner types.NamespacedName, uid types.UID, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if a := f.owners[owner]; a != nil {
		delete(a.made, uid)
		a.gone[uid] = now
	}
}

// Forget drops all of an owner that is no more.
func (f *Flight[T]) Forget(owner types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.owners, owner)
}

// See takes what the watch shows of an owner's dependants, adds what has been made beyond that, and leaves out what
// has been deleted. late is true while something is awaited: the caller looks again after Lag.
func (f *Flight[T]) See(owner types.NamespacedName, seen []T, now time.Time) (all []T, late bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.of(owner)
	shown := make(map[types.UID]bool, len(seen))
	for _, o := range seen {
		shown[o.GetUID()] = true
		delete(a.made, o.GetUID())
		if at, gone := a.gone[o.GetUID()]; gone && now.Sub(at) < Lag && o.GetDeletionTimestamp() == nil {
			late = true
			continue
		}
		all = append(all, o)
	}
	for uid, l := range a.made {
		if now.Sub(l.at) >= Lag {
			delete(a.made, uid)
			continue
		}
		late = true
		if _, gone := a.gone[uid]; !gone {
			all = append(all, l.object)
		}
	}
	a.tidy(shown, now)
	return all, late
}

// answerTime is how much longer than its watch an answer to a request may take.
const answerTime = 10 * time.Second

// tidy drops the ends that nothing contradicts any more.
func (a *aloft[T]) tidy(shown map[types.UID]bool, now time.Time) {
	for uid, at := range a.gone {
		_, made := a.made[uid]
		if age := now.Sub(at); age >= Lag || age >= answerTime && !shown[uid] && !made {
			delete(a.gone, uid)
		}
	}
}
