package owned

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Flight remembers what a controller has made and deleted until its watch has shown it, so that it does neither twice.
type Flight[T metav1.Object] struct {
	mu   sync.Mutex
	made map[types.NamespacedName]map[types.UID]launched[T] // by owner
	gone map[types.NamespacedName]map[types.UID]time.Time
}

type launched[T metav1.Object] struct {
	object T
	at     time.Time
}

// NewFlight is empty.
func NewFlight[T metav1.Object]() *Flight[T] {
	return &Flight[T]{made: map[types.NamespacedName]map[types.UID]launched[T]{}, gone: map[types.NamespacedName]map[types.UID]time.Time{}}
}

// Made notes a new dependant of owner.
func (f *Flight[T]) Made(owner types.NamespacedName, o T, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.made[owner] == nil {
		f.made[owner] = map[types.UID]launched[T]{}
	}
	f.made[owner][o.GetUID()] = launched[T]{o, now}
}

// Deleted notes the end of a dependant of owner.
func (f *Flight[T]) Deleted(owner types.NamespacedName, uid types.UID, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone[owner] == nil {
		f.gone[owner] = map[types.UID]time.Time{}
	}
	f.gone[owner][uid] = now
}

// Forget drops all of an owner that is no more.
func (f *Flight[T]) Forget(owner types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.made, owner)
	delete(f.gone, owner)
}

// lag is how long a watch may take to show what has been done. It runs in this process: a second is an age. What was
// made and is not seen by then has been deleted again by someone.
const lag = 5 * time.Second

// See takes what the watch shows of an owner's dependants, adds what has been made beyond that, and leaves out what
// has been deleted. late is true while something is awaited: the caller looks again after a while.
func (f *Flight[T]) See(owner types.NamespacedName, seen []T, now time.Time) (all []T, late bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range seen {
		delete(f.made[owner], o.GetUID())
		if at, gone := f.gone[owner][o.GetUID()]; gone && now.Sub(at) < lag && o.GetDeletionTimestamp() == nil {
			late = true
			continue
		}
		all = append(all, o)
	}
	for uid, l := range f.made[owner] {
		if now.Sub(l.at) >= lag {
			delete(f.made[owner], uid)
			continue
		}
		late = true
		if _, gone := f.gone[owner][uid]; !gone {
			all = append(all, l.object)
		}
	}
	for uid, at := range f.gone[owner] {
		if now.Sub(at) >= lag {
			delete(f.gone[owner], uid)
		}
	}
	return all, late
}

// Lag is how long to wait before a late watch is looked at again.
const Lag = lag
